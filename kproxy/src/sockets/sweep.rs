//! One look at the connected UDP sockets of a node, and the end of some.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::{Context, Result, bail};
use kproxy_common::Family;

use super::diag::Diag;
use super::namespaces::{Entry, Sources, enter};
use super::reasons::Reasons;
use crate::dataplane::StalePeers;
use crate::plan::Endpoint;

/// What a look came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Sockets whose backend is gone, as far as the socket door knows.
    pub stale: usize,
    /// Network namespaces that were looked at: none without a reason, and others than the own one only for stale sockets.
    pub namespaces: usize,
    /// Network namespaces that this process may not enter.
    pub denied: usize,
    /// Connected UDP sockets that were seen there.
    pub sockets: usize,
    /// Those that were ended.
    pub destroyed: usize,
    /// The same by the family of the address that they were connected to.
    pub destroyed_by_family: BTreeMap<Family, u64>,
    /// What went wrong; each time, the rest of one namespace was left out.
    pub errors: Vec<anyhow::Error>,
}

/// Ends the sockets that are stale, in whichever network namespace they are, and in this one those that are connected to
/// one of these service addresses itself.
#[must_use]
pub fn sweep(sources: &Sources, peers: &StalePeers, served: &BTreeSet<Endpoint>) -> Report {
    let stale = match peers.read().context("look for sockets whose backend is gone") {
        Ok(stale) => stale,
        Err(error) => return failed(error),
    };
    let reasons = Reasons::new(stale, served.clone());
    if reasons.is_empty() {
        return Report::default();
    }
    // On a thread that ends afterwards, in whichever namespace it saw last: none is kept alive by a thread that waits in
    // it, and there is no way back that could fail.
    thread::scope(|scope| {
        let looking = thread::Builder::new()
            .name("sockets-sweep".to_owned())
            .spawn_scoped(scope, || look_everywhere(sources, &reasons))
            .context("start a thread to look for sockets");
        looking
            .and_then(|thread| {
                thread
                    .join()
                    .or_else(|_panic| bail!("looking for sockets panicked"))
            })
            .unwrap_or_else(failed)
    })
}

fn failed(error: anyhow::Error) -> Report {
    Report {
        errors: vec![error],
        ..Report::default()
    }
}

fn look_everywhere(sources: &Sources, reasons: &Reasons) -> Report {
    let mut report = Report {
        stale: reasons.stale(),
        ..Report::default()
    };
    let in_pods = reasons.in_pods();
    let others = if in_pods.is_empty() {
        Ok(Vec::new())
    } else {
        sources.others().context("find the network namespaces")
    };
    let own = look(reasons, &mut report).context("in the own network namespace");
    report.errors.extend(own.err());
    let others = others.unwrap_or_else(|error| {
        report.errors.push(error);
        Vec::new()
    });
    for path in others {
        let looked = match enter(&path) {
            Ok(Entry::Entered) => look(&in_pods, &mut report),
            Ok(Entry::Gone) => Ok(()),
            Ok(Entry::Denied) => {
                report.denied += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        let looked = looked.with_context(|| format!("in the network namespace {}", path.display()));
        report.errors.extend(looked.err());
    }
    report
}

/// Looks at the network namespace of this thread.
fn look(reasons: &Reasons, report: &mut Report) -> Result<()> {
    report.namespaces += 1;
    let mut diag = Diag::open().context("open a sock_diag socket")?;
    // An IPv6 socket that is connected to an IPv4-mapped address is listed among those of IPv6.
    for family in [Family::V4, Family::V6] {
        let sockets = diag
            .connected_udp(family)
            .with_context(|| format!("list the connected UDP sockets of {family}"))?;
        report.sockets += sockets.len();
        for socket in sockets {
            if reasons.concern(socket.cookie, socket.destination) {
                let destroyed = diag.destroy(&socket).with_context(|| {
                    format!("end a UDP socket that is connected to {}", socket.destination)
                })?;
                report.destroyed += usize::from(destroyed);
                let family = socket.destination.address.family();
                *report.destroyed_by_family.entry(family).or_default() += u64::from(destroyed);
            }
        }
    }
    Ok(())
}
