//! Where the log goes and how it looks.

use std::collections::BTreeSet;
use std::env;
use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::config::document::{Logging, VerbosityOf};

/// What libraries say that kproxy says itself, once and in its own words. `$RUST_LOG` can still ask for them by name.
const REPEATED: [&str; 2] = ["kube_client", "netlink_proto"];

/// Sends the log to standard error, as much of it as `$RUST_LOG` asks for, or else the configuration.
///
/// # Errors
///
/// When `$RUST_LOG` can not be understood.
pub fn start(format: LogFormat, logging: &Logging) -> Result<()> {
    let asked = env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(&asked, logging)?)
        .with_writer(stderr);
    match format {
        LogFormat::Text => log.with_target(false).with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn filter(asked: &str, logging: &Logging) -> Result<EnvFilter> {
    let configured = directives(logging);
    let mut directives = if asked.is_empty() { &configured } else { asked }.to_owned();
    for library in REPEATED.iter().filter(|library| !asked.contains(*library)) {
        directives.extend([",", library, "=off"]);
    }
    EnvFilter::builder().parse(directives).with_context(|| {
        format!("$RUST_LOG is {asked:?}; write it like `debug` or `info,kproxy::devices=debug`")
    })
}

/// What kube-proxy's verbosities mean here. Libraries stay as they are: only kproxy says more.
fn directives(logging: &Logging) -> String {
    let mut directives = match level(logging.verbosity) {
        "info" => "info".to_owned(),
        more => format!("info,kproxy={more}"),
    };
    let mut seen = BTreeSet::new();
    for VerbosityOf {
        file_pattern,
        verbosity,
    } in &logging.vmodule
    {
        // As in kube-proxy, the first entry for a module counts.
        if is_module(file_pattern) && seen.insert(file_pattern) {
            let module = file_pattern.replace('/', "::");
            directives.extend([",kproxy::", &module, "=", level(*verbosity)]);
        }
    }
    directives
}

/// A path of kproxy's modules, as in `source/kubernetes`. Patterns are for the files of Go programs.
fn is_module(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || character == '_')
    };
    text.split('/').all(is_part)
}

const fn level(verbosity: u32) -> &'static str {
    match verbosity {
        0..=3 => "info",
        4 | 5 => "debug",
        6.. => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_logged() {
        for (asked, expected) in [
            ("", "kube_client=off,netlink_proto=off,info"),
            ("debug", "kube_client=off,netlink_proto=off,debug"),
            (
                "warn,kube_client=trace",
                "kube_client=trace,netlink_proto=off,warn",
            ),
        ] {
            let sorted = |text: &str| {
                let mut directives: Vec<_> = text.split(',').map(str::to_owned).collect();
                directives.sort();
                directives
            };
            let filter = filter(asked, &Logging::default()).expect("a filter").to_string();
            assert_eq!(sorted(&filter), sorted(expected), "{asked}");
        }
        assert!(filter("kproxy=loud", &Logging::default()).is_err());
    }

    #[test]
    fn verbosities_of_kube_proxy_are_levels_10_06() {
        let of = |text: &str| text.parse::<VerbosityOf>().expect("an entry");
        let rows = [
            (0, vec![], "info"),
            (3, vec![], "info"),
            (4, vec![], "info,kproxy=debug"),
            (6, vec![], "info,kproxy=trace"),
            (10, vec!["devices=0"], "info,kproxy=trace,kproxy::devices=info"),
            (
                0,
                vec!["source/kubernetes=4", "proxier*=9", "devices=6", "devices=4"],
                "info,kproxy::source::kubernetes=debug,kproxy::devices=trace",
            ),
        ];
        for (verbosity, modules, expected) in rows {
            let logging = Logging {
                verbosity,
                vmodule: modules.into_iter().map(of).collect(),
                ..Logging::default()
            };
            assert_eq!(directives(&logging), expected);
            let filter = filter("", &logging).expect("a filter");
            assert!(filter.to_string().contains("netlink_proto=off"), "{filter}");
        }
        let loud = Logging {
            verbosity: 9,
            ..Logging::default()
        };
        let asked = filter("warn", &loud).expect("a filter").to_string();
        assert!(
            asked.contains("warn") && !asked.contains("trace"),
            "$RUST_LOG goes first: {asked}"
        );
    }
}
