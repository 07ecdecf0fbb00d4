//! Where the log goes and how it looks.

use std::env;
use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// What is logged when `$RUST_LOG` is not set.
const DEFAULT: &str = "info";

/// What libraries say that kproxy says itself, once and in its own words. `$RUST_LOG` can still ask for them by name.
const REPEATED: [&str; 2] = ["kube_client", "netlink_proto"];

/// Sends the log to standard error, as much of it as `$RUST_LOG` asks for.
///
/// # Errors
///
/// When `$RUST_LOG` can not be understood.
pub fn start(format: LogFormat) -> Result<()> {
    let asked = env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(&asked)?)
        .with_writer(stderr);
    match format {
        LogFormat::Text => log.with_target(false).with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn filter(asked: &str) -> Result<EnvFilter> {
    let mut directives = if asked.is_empty() { DEFAULT } else { asked }.to_owned();
    for library in REPEATED.iter().filter(|library| !asked.contains(*library)) {
        directives.extend([",", library, "=off"]);
    }
    EnvFilter::builder().parse(directives).with_context(|| {
        format!("$RUST_LOG is {asked:?}; write it like `debug` or `info,kproxy::devices=debug`")
    })
}

#[cfg(test)]
mod tests {
    use super::filter;

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
            let filter = filter(asked).expect("a filter").to_string();
            assert_eq!(sorted(&filter), sorted(expected), "{asked}");
        }
        assert!(filter("kproxy=loud").is_err());
    }
}
