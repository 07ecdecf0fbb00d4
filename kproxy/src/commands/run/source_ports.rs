//! Source ports of the node that clients outside share: a word before there are none left, and one when there are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kproxy_common::{PortSearch, SnatKey};

use crate::causes::one_line;
use crate::plan::Endpoint;
use crate::serve::Gauges;

/// How often they are looked at.
const PAUSE: Duration = Duration::from_secs(10);
/// What is worth a word: four fifths of the ports are taken.
const NEARLY_FULL: u32 = PortSearch::FULL / 5 * 4;

/// Looks again and again, for as long as it is polled.
///
/// # Errors
///
/// When looking breaks off, which it never should.
pub(super) async fn watch(gauges: Arc<impl Gauges>) -> Result<()> {
    let mut told = Told::default();
    let mut readable = true;
    loop {
        tokio::time::sleep(PAUSE).await;
        let gauges = Arc::clone(&gauges);
        let read = tokio::task::spawn_blocking(move || gauges.port_searches());
        match read.await.context("read the searches for source ports")? {
            Ok(searches) => {
                readable = true;
                for word in told.take_in(&searches) {
                    tracing::warn!("{word}");
                }
            }
            Err(error) => {
                if std::mem::replace(&mut readable, false) {
                    tracing::warn!(
                        "{}; nobody is warned before source ports run out",
                        one_line(error.as_ref())
                    );
                }
            }
        }
    }
}

/// What was said about which destination.
#[derive(Debug, Default)]
struct Told {
    nearly_full: BTreeSet<SnatKey>,
    failed: BTreeSet<SnatKey>,
}

/// Something to say about a destination, once.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    NearlyFull(SnatKey),
    Failed(SnatKey, u64),
}

impl Told {
    /// What is new. A destination that the map has forgotten is a new one when it comes back.
    fn take_in(&mut self, searches: &[(SnatKey, PortSearch)]) -> Vec<Word> {
        let searches: BTreeMap<_, _> = searches.iter().copied().collect();
        self.nearly_full.retain(|key| searches.contains_key(key));
        self.failed.retain(|key| searches.contains_key(key));
        let mut words = Vec::new();
        for (key, search) in searches {
            if search.fill > NEARLY_FULL && self.nearly_full.insert(key) {
                words.push(Word::NearlyFull(key));
            }
            if search.failed > 0 && self.failed.insert(key) {
                words.push(Word::Failed(key, search.failed));
            }
        }
        words
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NearlyFull(key) | Self::Failed(key, _)) = self;
        let &SnatKey {
            source,
            destination,
            port,
            protocol,
            padding: _,
        } = key;
        let backend = Endpoint {
            address: destination,
            port,
        };
        match self {
            Self::NearlyFull(_) => write!(
                f,
                "more than four fifths of the source ports of {source} towards the backend {backend} {protocol} are taken"
            )?,
            Self::Failed(_, failed) => write!(
                f,
                "no source port of {source} towards the backend {backend} {protocol} was free for {failed} new flows of \
                 clients outside, which were dropped"
            )?,
        }
        f.write_str(
            "; add backends, or let clients ask a node that has one (externalTrafficPolicy: Local), which keeps their \
             addresses",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use kproxy_common::{Port, Protocol};

    use super::*;

    fn search(host: u8, fill: u32, failed: u64) -> (SnatKey, PortSearch) {
        let key = SnatKey {
            source: Ipv4Addr::new(10, 0, 0, 1).into(),
            destination: Ipv4Addr::new(10, 244, 0, host).into(),
            port: Port::new(80),
            protocol: Protocol::TCP,
            padding: 0,
        };
        let fill = PortSearch::FULL / 100 * fill;
        (
            key,
            PortSearch {
                place: 0,
                fill,
                failed,
            },
        )
    }

    #[test]
    fn each_destination_is_told_once() {
        let mut told = Told::default();
        let mut words = |searches: &[(SnatKey, PortSearch)]| {
            let words = told.take_in(searches).into_iter();
            words.map(|word| word.to_string()).collect::<Vec<_>>()
        };
        assert!(words(&[search(1, 79, 0)]).is_empty());
        let nearly = words(&[search(1, 90, 0), search(2, 10, 0)]);
        assert!(nearly.len() == 1 && nearly[0].contains("10.0.0.1 towards the backend 10.244.0.1:80 TCP"));
        assert!(words(&[search(1, 95, 0)]).is_empty());
        let failed = words(&[search(1, 100, 3)]);
        assert!(
            failed.len() == 1 && failed[0].contains("for 3 new flows"),
            "{failed:?}"
        );
        assert!(words(&[search(1, 100, 9)]).is_empty());
        assert!(words(&[]).is_empty());
        assert_eq!(words(&[search(1, 90, 0)]).len(), 1, "another time");
    }
}
