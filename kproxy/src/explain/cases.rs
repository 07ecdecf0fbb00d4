//! Many questions at once: one JSON object a line in, one a line out, in the same order.

use std::io::{self, BufRead, Write};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::answer::Answer;
use super::question::{Question, Via};

/// A line: the same fields as the flags of `kproxy explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    from: String,
    to: String,
    via: Option<Via>,
    device: Option<String>,
}

/// What stands in the place of an answer.
#[derive(Serialize)]
struct Failure {
    error: String,
}

/// Lines that could not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} of the cases can not be answered; each says why in its line of the output")]
pub struct BadCases(pub usize);

/// Answers every line; an empty one is passed over.
///
/// # Errors
/// When input or output fail, or, at the end, a line had no answer ([`BadCases`]).
pub fn answer_cases(
    input: impl BufRead,
    mut output: impl Write,
    explain: impl Fn(&Question) -> Result<Answer>,
) -> Result<()> {
    let mut bad = 0;
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let line = line.context("read the cases")?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let written = match read(&line).and_then(|question| explain(&question)) {
            Ok(answer) => serde_json::to_writer(&mut output, &answer),
            Err(error) => {
                bad += 1;
                let error = format!("line {number}: {error:#}");
                serde_json::to_writer(&mut output, &Failure { error })
            }
        };
        written
            .map_err(io::Error::from)
            .and_then(|()| output.write_all(b"\n"))
            .context("write the answers")?;
    }
    output.flush().context("write the answers")?;
    if bad > 0 {
        return Err(BadCases(bad).into());
    }
    Ok(())
}

fn read(line: &[u8]) -> Result<Question> {
    let Case {
        from,
        to,
        via,
        device,
    } = serde_json::from_slice(line)?;
    let from = from.parse().context("from")?;
    let to = to.parse().context("to")?;
    Ok(Question::new(from, to, via)?.by_device(device)?)
}
