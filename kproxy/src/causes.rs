//! An error and its causes in one line.

use std::error::Error;

/// The error's message and those of its causes, each once: many messages repeat the one of their cause.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !line.contains(&next) {
            line = format!("{line}: {next}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use anyhow::Context as _;

    use super::*;
    use crate::dataplane::OpenError;

    #[test]
    fn every_cause_is_named_once() {
        let cause = OpenError::Pin {
            doing: "listing",
            path: PathBuf::from("/pins"),
            source: io::Error::other("no"),
        };
        let error = Err::<(), _>(cause)
            .context("open the data plane")
            .expect_err("it is one");
        assert_eq!(one_line(error.as_ref()), "open the data plane: listing /pins: no");
    }
}
