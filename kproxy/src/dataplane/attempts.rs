//! Loading of programs while signals arrive.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use aya::programs::ProgramError;

/// More than signals that come together, as those of processes that end at the same time.
const ATTEMPTS: usize = 10;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Loads a program. The verifier gives up with EAGAIN when a signal comes for its thread (`do_check` of the kernel), which says
/// nothing about the program.
///
/// # Errors
/// What the last attempt answered.
pub fn load_program(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 1..ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == io::ErrorKind::WouldBlock => {
                sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
    load()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(errno: i32) -> ProgramError {
        ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(errno),
            verifier_log: aya_obj::VerifierLog::new(String::new()),
        }
    }

    #[test]
    fn a_load_that_a_signal_ended_is_tried_again() {
        let mut answers = [Err(refusal(libc::EAGAIN)), Err(refusal(libc::EAGAIN)), Ok(())].into_iter();
        load_program(|| answers.next().unwrap()).unwrap();
        assert!(answers.next().is_none());
    }

    #[test]
    fn what_the_verifier_refuses_is_not_tried_again() {
        let mut attempts = 0;
        let outcome = load_program(|| {
            attempts += 1;
            Err(refusal(libc::EACCES))
        });
        assert!(outcome.is_err());
        assert_eq!(attempts, 1);
    }

    #[test]
    fn attempts_are_bounded() {
        let mut attempts = 0;
        let outcome = load_program(|| {
            attempts += 1;
            Err(refusal(libc::EAGAIN))
        });
        assert!(outcome.is_err());
        assert_eq!(attempts, ATTEMPTS);
    }
}
