//! SIGINT, SIGTERM and SIGHUP remove every cluster of this process before it ends.

use std::{
    process,
    sync::{
        Once, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use super::cleanup;

/// Read while a cluster is made or removed, written by the signal thread: so neither meets the other half-way.
static UNDISTURBED: RwLock<()> = RwLock::new(());
static LEFT_TO_CALLER: AtomicBool = AtomicBool::new(false);

/// For programs that wait for signals themselves and drop their clusters in time. Call it before the first cluster.
pub fn leave_to_caller() {
    LEFT_TO_CALLER.store(true, Ordering::Relaxed);
}

/// Removes every cluster of this process, for a program that is about to end; from then on none can be made or dropped.
pub fn remove_clusters() {
    let undisturbed = UNDISTURBED.write().unwrap_or_else(PoisonError::into_inner);
    cleanup::remove_all_of_this_process();
    // Held until the process ends.
    std::mem::forget(undisturbed);
}

/// Keeps the signal thread away until the guard is dropped.
pub(super) fn hold_off() -> RwLockReadGuard<'static, ()> {
    UNDISTURBED.read().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to watch for signals, once per process.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    if LEFT_TO_CALLER.load(Ordering::Relaxed) {
        return;
    }
    INSTALLED.call_once(|| {
        let (ready, wait) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let signal = wait_for_signal(|| ready.send(()).unwrap_or_default());
            remove_clusters();
            // What a shell reports for a program that a signal ended.
            process::exit(128 + signal);
        });
        // An error means that the thread is gone, which has said why.
        wait.recv().unwrap_or_default();
    });
}

fn wait_for_signal(ready: impl FnOnce()) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a process can have one more epoll descriptor");
    runtime.block_on(async {
        let listen = |kind: SignalKind| signal(kind).expect("SIGINT, SIGTERM and SIGHUP may be caught");
        let mut interrupt = listen(SignalKind::interrupt());
        let mut terminate = listen(SignalKind::terminate());
        let mut hangup = listen(SignalKind::hangup());
        ready();
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
            _ = hangup.recv() => SignalKind::hangup(),
        }
        .as_raw_value()
    })
}
