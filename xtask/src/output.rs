//! Runs programs for somebody who watches: what they print appears at once, marked as theirs.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Runs `command` and prints its lines indented, both streams in the order in which they come.
pub(crate) fn run_indented(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = io::pipe().context("making a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("making a pipe")?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    // The command holds the writing end, too: as long as it does, the reader never sees the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        println!("    | {}", String::from_utf8_lossy(&line?).trim_end());
    }
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    if !status.success() {
        bail!("{} failed ({status})", written(command));
    }
    Ok(())
}

/// `command` as somebody would type it.
pub(crate) fn written(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    [program]
        .into_iter()
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A time for people, to a tenth of a second.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
