//! Who answered the requests of a row, for what only all of them together show.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use super::row::Expect;

/// Who has answered so far.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    by_name: BTreeMap<&'static str, String>,
    varied: BTreeMap<Vec<&'static str>, BTreeSet<String>>,
}

impl Answered {
    /// Notes who answered a request.
    ///
    /// # Errors
    /// When another pod has answered a request of the same name.
    pub fn note(&mut self, expect: &Expect, pod: &str) -> anyhow::Result<()> {
        match expect {
            Expect::One(name) => {
                let before = self.by_name.entry(name).or_insert_with(|| pod.to_owned());
                ensure!(before == pod, "{before} answered before, and now {pod}");
            }
            Expect::Varied(pods) => {
                self.varied
                    .entry(pods.clone())
                    .or_default()
                    .insert(pod.to_owned());
            }
            Expect::By(_)
            | Expect::Spread(_)
            | Expect::Same
            | Expect::Refused
            | Expect::Denied
            | Expect::Silence
            | Expect::Untouched => {}
        }
        Ok(())
    }

    /// At the end of a row: whether everybody came up who should.
    ///
    /// # Errors
    /// Says who did.
    pub fn check(&self) -> anyhow::Result<()> {
        for (pods, seen) in &self.varied {
            ensure!(
                seen.len() == pods.len(),
                "only {seen:?} of {pods:?} came up in the whole row"
            );
        }
        Ok(())
    }
}
