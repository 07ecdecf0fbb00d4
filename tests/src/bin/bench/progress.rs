//! What somebody sees who waits.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

/// Lines with the time since the start; on a terminal the rounds overwrite each other.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Something new begins.
    pub(crate) fn step(&self, words: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}[{:>5.0} s] {words}", self.seconds());
    }

    /// A part of it is done.
    pub(crate) fn round(&self, words: &str, round: u32, of: u32) {
        if self.terminal {
            eprint!("\r\x1b[K[{:>5.0} s]   {words}: {round} of {of}", self.seconds());
            // A progress line that is not shown is no loss.
            let _ = io::stderr().flush();
            if round == of {
                eprint!("\r\x1b[K");
            }
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}
