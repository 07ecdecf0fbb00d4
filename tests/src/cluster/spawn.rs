//! Starts children in another network namespace and cgroup: with [`tunnel`](super::tunnel) the only unsafe code of the tests.

use std::{
    io::Write,
    os::fd::{AsFd, OwnedFd},
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{OnceLock, mpsc},
    thread,
};

use anyhow::Context;
use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl, signal::Signal},
};

use super::{cgroup::Cgroup, namespace::Namespace};

/// Starts the command inside the namespace and the cgroup; it is there before its first instruction, and is killed
/// when this process ends.
pub(super) fn spawn(mut command: Command, namespace: &Namespace, cgroup: &Cgroup) -> anyhow::Result<Child> {
    let namespace: OwnedFd = namespace
        .as_fd()
        .try_clone_to_owned()
        .context("cannot duplicate a descriptor")?;
    let mut entrance = cgroup.entrance()?;
    let enter = move || {
        entrance.write_all(b"0")?;
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "a child that changes its surroundings between fork and exec"
    )]
    // SAFETY: between fork and exec the child may only do what is async-signal-safe, because another thread may hold
    // a lock at the moment of the fork. The closure makes three system calls (write, setns, prctl) on descriptors
    // opened before; errors are made from errno alone, and nothing allocates or locks.
    unsafe {
        command.pre_exec(enter);
    }
    on_spawner(move || {
        let name = command.get_program().to_string_lossy().into_owned();
        command.spawn().with_context(|| format!("cannot start {name}"))
    })
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs a job on the one thread that starts all children: the parent-death signal comes when the *thread* that forked
/// ends (prctl(2)), and this one lives as long as the process.
fn on_spawner<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        sender
    });
    let (answer, wait) = mpsc::sync_channel(1);
    let job = move || answer.send(job()).unwrap_or_default();
    spawner
        .send(Box::new(job))
        .expect("the spawner thread lives as long as the process");
    wait.recv().expect("the spawner thread answers every job")
}
