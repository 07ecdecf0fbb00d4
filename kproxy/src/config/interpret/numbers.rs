//! Numbers and durations, and the ranges they must be in.

use std::time::Duration;

use crate::config::document::{self, KIND, KubeProxyConfiguration};
use crate::config::problems::Problems;
use crate::config::{Conntrack, GoDuration, Mode, MostConnections};

/// `syncPeriod` and `minSyncPeriod` of the mode; without a mode those of kube-proxy's default, iptables.
pub(super) fn periods(
    document: &KubeProxyConfiguration,
    mode: Option<Mode>,
    problems: &mut Problems,
) -> (Duration, Duration) {
    let KubeProxyConfiguration {
        iptables,
        nftables,
        ipvs,
        ..
    } = document;
    masquerade_bit("iptables", iptables.masquerade_bit, problems);
    let of_iptables = period_pair(
        "iptables",
        iptables.sync_period,
        iptables.min_sync_period,
        problems,
    );
    masquerade_bit("nftables", nftables.masquerade_bit, problems);
    let of_nftables = period_pair(
        "nftables",
        nftables.sync_period,
        nftables.min_sync_period,
        problems,
    );
    match mode {
        Some(Mode::Nftables) => of_nftables,
        Some(Mode::Ipvs) => {
            for (field, timeout) in [
                ("ipvs.tcpTimeout", ipvs.tcp_timeout),
                ("ipvs.tcpFinTimeout", ipvs.tcp_fin_timeout),
                ("ipvs.udpTimeout", ipvs.udp_timeout),
            ] {
                duration(field, timeout, problems);
            }
            period_pair("ipvs", ipvs.sync_period, ipvs.min_sync_period, problems)
        }
        Some(Mode::Iptables) | None => of_iptables,
    }
}

fn period_pair(
    section: &str,
    sync: GoDuration,
    at_least: GoDuration,
    problems: &mut Problems,
) -> (Duration, Duration) {
    let field = format!("{section}.syncPeriod");
    let pair = (
        positive(&field, sync, problems),
        duration(&format!("{section}.minSyncPeriod"), at_least, problems),
    );
    if at_least > sync {
        let message = format!("{sync} is less than minSyncPeriod, {at_least}; use at least as much");
        problems.add(KIND, field, message);
    }
    pair
}

pub(super) fn config_sync_period(document: &KubeProxyConfiguration, problems: &mut Problems) -> Duration {
    positive("configSyncPeriod", document.config_sync_period, problems)
}

pub(super) fn oom_score_adj(document: &KubeProxyConfiguration, problems: &mut Problems) -> i32 {
    let asked = document.oom_score_adj.unwrap_or_default();
    if !(-1_000..=1_000).contains(&asked) {
        problems.add(KIND, "oomScoreAdj", format!("{asked} is not from -1000 to 1000"));
    }
    asked
}

pub(super) fn conntrack(section: &document::Conntrack, problems: &mut Problems) -> Conntrack {
    let document::Conntrack {
        max_per_core,
        min,
        tcp_established_timeout,
        tcp_close_wait_timeout,
        tcp_be_liberal,
        udp_timeout,
        udp_stream_timeout,
    } = section;
    let per_core = not_negative("conntrack.maxPerCore", max_per_core.unwrap_or(0), problems);
    let least = not_negative("conntrack.min", min.unwrap_or(0), problems);
    let mut timeout = |field: &str, timeout: GoDuration| {
        let timeout = duration(&format!("conntrack.{field}"), timeout, problems);
        Some(timeout).filter(|timeout| !timeout.is_zero())
    };
    Conntrack {
        most: (per_core > 0).then_some(MostConnections { per_core, least }),
        tcp_established_timeout: timeout(
            "tcpEstablishedTimeout",
            tcp_established_timeout.unwrap_or_default(),
        ),
        tcp_close_wait_timeout: timeout("tcpCloseWaitTimeout", tcp_close_wait_timeout.unwrap_or_default()),
        tcp_be_liberal: *tcp_be_liberal,
        udp_timeout: timeout("udpTimeout", *udp_timeout),
        udp_stream_timeout: timeout("udpStreamTimeout", *udp_stream_timeout),
    }
}

pub(super) fn not_negative(field: &str, asked: i32, problems: &mut Problems) -> u32 {
    u32::try_from(asked).unwrap_or_else(|_| {
        problems.add(KIND, field, format!("{asked} is negative; use 0 or more"));
        0
    })
}

fn masquerade_bit(section: &str, bit: Option<i32>, problems: &mut Problems) {
    if let Some(bit) = bit.filter(|bit| !(0..=31).contains(bit)) {
        let message = format!("{bit} is no bit of a packet's mark; use 0 to 31");
        problems.add(KIND, format!("{section}.masqueradeBit"), message);
    }
}

fn duration(field: &str, asked: GoDuration, problems: &mut Problems) -> Duration {
    asked.positive().unwrap_or_else(|| {
        problems.add(KIND, field, format!("{asked} is negative; use 0s or more"));
        Duration::ZERO
    })
}

fn positive(field: &str, asked: GoDuration, problems: &mut Problems) -> Duration {
    if asked == GoDuration::ZERO {
        problems.add(KIND, field, "must be more than 0s");
    }
    duration(field, asked, problems)
}
