//! One run of iperf3, by what it says in JSON (`iperf_api.c`).

use anyhow::{Context as _, bail};
use serde_json::Value;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// What was received.
    pub bits_per_second: f64,
    /// Segments that were sent more than once.
    pub retransmits: u64,
}

impl Run {
    /// Reads the words of `iperf3 --json`.
    ///
    /// # Errors
    /// When they tell of an error, or are no such words.
    pub fn read(words: &str) -> anyhow::Result<Self> {
        let said: Value = serde_json::from_str(words).with_context(|| format!("iperf3 said {words}"))?;
        if let Some(error) = said["error"].as_str() {
            bail!("iperf3: {error}");
        }
        let end = &said["end"];
        let bits_per_second = end["sum_received"]["bits_per_second"].as_f64();
        let retransmits = end["sum_sent"]["retransmits"].as_u64();
        let (Some(bits_per_second), Some(retransmits)) = (bits_per_second, retransmits) else {
            bail!("iperf3 said nothing of what it received: {end}");
        };
        Ok(Self {
            bits_per_second,
            retransmits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let run = Run::read(
            r#"{"end": {"sum_sent": {"bits_per_second": 3.0, "retransmits": 7}, "sum_received": {"bits_per_second": 2.5}}}"#,
        );
        assert_eq!(
            run.unwrap(),
            Run {
                bits_per_second: 2.5,
                retransmits: 7
            }
        );
        assert!(Run::read(r#"{"error": "unable to connect"}"#).is_err());
        assert!(Run::read(r#"{"end": {}}"#).is_err());
    }
}
