//! Mode `NodeCIDR`: which addresses are those of this node's pods is what its Node object says (semantics 5.14).

use anyhow::{Result, bail};
use kproxy_common::Family;

use crate::config::LocalDetector;
use crate::index::Index;
use crate::model::Cidr;

/// Where the ranges come from, for people.
const FIELD: &str = "Node.spec.podCIDRs";

/// The ranges of this node's pods, as they were first seen.
#[derive(Debug)]
pub(super) struct PodRanges {
    detector: LocalDetector,
    families: &'static [Family],
    seen: Vec<Cidr>,
    /// Somebody was told that there are none yet.
    missed: bool,
}

impl PodRanges {
    /// None are seen yet. `families` are those that the machine has.
    pub(super) fn new(detector: LocalDetector, families: &'static [Family]) -> Self {
        Self {
            detector,
            families,
            seen: Vec::new(),
            missed: false,
        }
    }

    /// Looks at what the Node object says now. In other modes that does not matter.
    ///
    /// # Errors
    ///
    /// When it says something else than before, or only ranges of a family that this machine lacks (10.05).
    pub(super) fn follow(&mut self, index: &Index) -> Result<()> {
        if self.detector != LocalDetector::NodeCidr {
            return Ok(());
        }
        // A node that vanishes is only a gap: the index keeps it (10.21).
        let ranges = index.node().map(|node| &node.pod_cidrs[..]).unwrap_or_default();
        if self.seen == ranges {
            self.tell_if_missing(index);
            return Ok(());
        }
        if !self.seen.is_empty() {
            bail!(
                "{FIELD} of this node has changed from {} to {}; kproxy ends, to be started again with what it says \
                 now; the data plane stays in force",
                list(&self.seen),
                list(ranges)
            );
        }
        let resolved = self.detector.with_pod_cidrs(ranges);
        resolved.check_families(FIELD, self.families)?;
        tracing::info!(ranges = list(ranges), "local traffic is told apart by {FIELD}");
        self.seen = ranges.to_vec();
        Ok(())
    }

    fn tell_if_missing(&mut self, index: &Index) {
        if self.seen.is_empty() && index.synced() && !self.missed {
            self.missed = true;
            tracing::warn!(
                "this node has no {FIELD} yet; until it has, no traffic from outside counts as a pod's"
            );
        }
    }
}

fn list(ranges: &[Cidr]) -> String {
    if ranges.is_empty() {
        return "nothing".to_owned();
    }
    let texts: Vec<_> = ranges.iter().map(Cidr::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Kind, ObjectName, Parsed, samples};
    use crate::source::{Change, Event, News};

    const BOTH: &[Family] = &[Family::V4, Family::V6];

    fn node(ranges: &[&str]) -> Event {
        let parsed = Parsed {
            name: ObjectName::new("", "here"),
            object: Some(samples::node(json!({ "spec": { "podCIDRs": ranges } }))),
            problems: vec![],
        };
        Event::now(News::Node(Change::Applied(parsed)))
    }

    /// What comes of these states of the Node object, one after another.
    fn follow(detector: LocalDetector, families: &'static [Family], states: &[&[&str]]) -> Result<PodRanges> {
        let mut index = Index::new("here");
        let mut followed = PodRanges::new(detector, families);
        for ranges in states {
            index.apply(node(ranges));
            followed.follow(&index)?;
        }
        Ok(followed)
    }

    #[test]
    fn another_range_ends_the_process_5_14() {
        const ONE: &[&str] = &["10.244.1.0/24", "fd00:1::/64"];
        let rows: [(&str, &[&[&str]], &str); 7] = [
            ("5.14 seen", &[ONE], ""),
            ("5.14 the same", &[ONE, ONE], ""),
            ("5.14 later than the node", &[&[], &[], ONE], ""),
            (
                "5.14 another range",
                &[ONE, &["10.244.2.0/24", "fd00:1::/64"]],
                "from 10.244.1.0/24, fd00:1::/64 to 10.244.2.0/24, fd00:1::/64",
            ),
            ("5.14 one less", &[ONE, &["10.244.1.0/24"]], "to 10.244.1.0/24;"),
            ("5.14 taken away", &[ONE, &[]], "to nothing;"),
            (
                "5.14 another range after a while",
                &[&[], ONE, ONE, &["10.244.2.0/24"]],
                "has changed",
            ),
        ];
        for (what, states, expected) in rows {
            let error = follow(LocalDetector::NodeCidr, BOTH, states).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error.is_empty(), expected.is_empty(), "{what}: {error}");
            assert!(error.contains(expected), "{what}: {error}");
            let other = LocalDetector::BridgeInterface("cni0".to_owned());
            assert!(follow(other, BOTH, states).is_ok(), "{what}, in another mode");
        }
    }

    #[test]
    fn ranges_of_the_wrong_family_end_the_process_10_05() {
        let wrong = || follow(LocalDetector::NodeCidr, &[Family::V4], &[&["fd00:1::/64"]]);
        let error = wrong().expect_err("no packet can have such an address");
        assert!(error.to_string().contains(FIELD), "{error}");
        assert!(follow(LocalDetector::NodeCidr, BOTH, &[&["fd00:1::/64"]]).is_ok());
    }

    #[test]
    fn a_node_without_ranges_is_told_once() {
        let mut index = Index::new("here");
        let mut followed = PodRanges::new(LocalDetector::NodeCidr, BOTH);
        followed.follow(&index).expect("nothing yet");
        assert!(!followed.missed, "5.14 the node may be there and not listed yet");
        for kind in Kind::ALL {
            index.apply(Event::now(News::Listed(kind)));
        }
        followed.follow(&index).expect("nothing yet");
        assert!(followed.missed, "5.14");
    }
}
