//! The `ip` tool, many lines at a time.
//!
//! The lines can be read, printed and repeated by hand, which a sequence of netlink messages can not; one process per
//! namespace costs a few milliseconds.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Runs the lines in a namespace, or where this process is.
///
/// # Errors
/// When `ip` is missing or refuses a line, with the line and its words.
pub fn batch(namespace: Option<&str>, lines: &[String]) -> anyhow::Result<()> {
    let place = namespace.unwrap_or("this namespace");
    let mut command = Command::new("ip");
    command
        .args(namespace.into_iter().flat_map(|name| ["-netns", name]))
        .args(["-batch", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .context("cannot run `ip`; install it: apt-get install iproute2")?;
    if let Some(mut input) = child.stdin.take() {
        // A tool that gave up early says why on stderr.
        input
            .write_all((lines.join("\n") + "\n").as_bytes())
            .unwrap_or_default();
    }
    let output = child.wait_with_output().context("cannot wait for `ip`")?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let failed = failed_line(&words).and_then(|number| lines.get(number - 1));
    bail!(
        "ip in {place}: {}: {}",
        failed.map_or("?", String::as_str),
        words.trim()
    );
}

/// `ip` ends with `Command failed -:<line number>`.
fn failed_line(words: &str) -> Option<usize> {
    let (_, number) = words.rsplit_once("Command failed -:")?;
    number.trim().parse().ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_failed_is_named() {
        assert_eq!(
            failed_line("RTNETLINK answers: File exists\nCommand failed -:3\n"),
            Some(3)
        );
        assert_eq!(failed_line("something else"), None);
    }
}
