//! Shows each feature of the kernel that kproxy needs or likes, and whether the running one has it.

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::look::{Output, lines, table};
use crate::node::features::{self, FEATURES, Feature, Need, Presence};

/// `kproxy check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// How the answer looks.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What was found out about the kernel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// The running kernel.
    kernel: String,
    /// Whether kproxy runs on it, as far as the kernel says.
    sufficient: bool,
    features: Vec<Finding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    name: &'static str,
    /// Null if the kernel does not say.
    present: Option<bool>,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_because: Option<String>,
    /// The first kernel with it.
    since: Option<&'static str>,
    /// Build option or setting.
    option: Option<&'static str>,
    required: bool,
    /// What is lost without it, or done instead.
    without: &'static str,
    #[serde(skip)]
    kernels: String,
}

/// Prints what the kernel has. It changes nothing, and needs what `kproxy run` needs.
///
/// # Errors
///
/// [`features::MissingFeatures`] if kproxy does not run on this kernel.
pub fn check(arguments: &CheckArgs) -> Result<()> {
    let asked: Vec<_> = FEATURES
        .iter()
        .map(|feature| (*feature, feature.presence()))
        .collect();
    let outcome = features::complete(&FEATURES, |feature| answer(&asked, feature));
    let report = Report {
        kernel: features::release(),
        sufficient: outcome.is_ok(),
        features: asked
            .into_iter()
            .map(|(feature, presence)| Finding::new(&feature, presence))
            .collect(),
    };
    match arguments.output {
        Output::Text => println!("{}", report.text()),
        Output::Json => {
            let json = serde_json::to_string_pretty(&report);
            println!("{}", json.context("write the report")?);
        }
    }
    Ok(outcome?)
}

fn answer(asked: &[(Feature, Presence)], wanted: &Feature) -> Presence {
    let found = asked.iter().find(|(feature, _)| feature.name == wanted.name);
    found.map_or_else(|| wanted.presence(), |(_, presence)| presence.clone())
}

impl Finding {
    fn new(feature: &Feature, presence: Presence) -> Self {
        let (present, unknown_because) = match presence {
            Presence::Present => (Some(true), None),
            Presence::Missing => (Some(false), None),
            Presence::Unknown(reason) => (None, Some(reason)),
        };
        Self {
            name: feature.name,
            present,
            unknown_because,
            since: feature.since,
            option: feature.option,
            required: feature.need == Need::Required,
            without: feature.without,
            kernels: feature.kernels(),
        }
    }

    /// `TCX links: missing, Linux 6.6 with CONFIG_NET_XGRESS; clsact filters are used instead`, in columns.
    fn row(&self) -> [String; 4] {
        let state = match self.present {
            Some(true) => "present",
            Some(false) => "missing",
            None => "unknown",
        };
        let note = match (self.present, &self.unknown_because) {
            (Some(true), _) => "",
            (_, Some(reason)) => reason,
            (Some(false) | None, None) => self.without,
        };
        [self.name, state, self.kernels.as_str(), note].map(str::to_owned)
    }
}

impl Report {
    fn text(&self) -> String {
        let Self {
            kernel,
            sufficient,
            features,
        } = self;
        let section = |title: &'static str, required: bool| {
            let mut table = table([title, "STATE", "SINCE", "NOTE"]);
            for feature in features.iter().filter(|it| it.required == required) {
                table.add_row(feature.row());
            }
            lines(&table)
        };
        let verdict = if *sufficient { "has" } else { "lacks" };
        let is_unknown = features.iter().any(|feature| feature.present.is_none());
        let hint = if is_unknown {
            "\n\nFor what is unknown, ask again as root, or with what `kproxy run` is given."
        } else {
            ""
        };
        format!(
            "kernel {kernel} {verdict} what kproxy needs\n\n{}\n\n{}{hint}",
            section("NEEDED", true),
            section("LIKED", false)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(of: impl Fn(&Feature) -> Presence) -> Report {
        let features: Vec<_> = FEATURES
            .iter()
            .map(|feature| Finding::new(feature, of(feature)))
            .collect();
        Report {
            kernel: "6.1.0".into(),
            sufficient: true,
            features,
        }
    }

    #[test]
    fn what_is_missing_says_since_when_and_what_is_done_instead() {
        let report = report(|feature| match feature.name {
            "TCX links" => Presence::Missing,
            "IPv6" => Presence::Unknown("no /proc".into()),
            _ => Presence::Present,
        });
        let text = report.text();
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let words = line.expect("a line").split_whitespace();
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("TCX links"),
            "TCX links missing Linux 6.6 with CONFIG_NET_XGRESS clsact filters are used instead"
        );
        assert_eq!(line("ring buffers"), "ring buffers present Linux 5.8");
        assert!(line("IPv6").ends_with("no /proc"));
        let json = serde_json::to_value(&report).expect("JSON");
        let features = json["features"].as_array().expect("a list");
        let of = |name: &str| features.iter().find(|it| it["name"] == name).expect("a feature");
        assert_eq!(of("TCX links")["present"], false);
        assert_eq!(of("TCX links")["since"], "6.6");
        assert_eq!(of("IPv6")["present"], serde_json::Value::Null);
        assert_eq!(of("ring buffers")["required"], true);
    }
}
