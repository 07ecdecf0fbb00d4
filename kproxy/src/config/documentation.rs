//! `docs/configuration.md` speaks of every field and flag, and says of each what the code does with it.

use std::collections::BTreeSet;

use clap::CommandFactory;
use serde_json::Value;

use super::notes::NO_MEANING;
use super::{KproxyConfiguration, KubeProxyConfiguration};
use crate::cli::Cli;

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// The rows of all tables, as cells.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = DOCUMENT.lines().filter(|line| line.starts_with("| "));
    lines
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

/// What stands in backticks in a column of the tables, of rows that satisfy.
fn names(column: usize, wanted: impl Fn(&[&str]) -> bool) -> BTreeSet<String> {
    let rows = rows().into_iter().filter(|row| wanted(row));
    let cells = rows.map(|row| row[column].to_owned());
    cells
        .flat_map(|cell| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The paths of everything that is no section.
fn leaves(document: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    let Some(fields) = document.as_object().filter(|fields| !fields.is_empty()) else {
        leaves.insert(path.to_owned());
        return;
    };
    for (name, value) in fields {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        self::leaves(value, &path, leaves);
    }
}

#[test]
fn every_field_is_in_the_table() {
    let mut fields = BTreeSet::new();
    let document = KubeProxyConfiguration::default().with_defaults();
    leaves(&serde_json::to_value(document).expect("JSON"), "", &mut fields);
    let own = KproxyConfiguration::default();
    leaves(&serde_json::to_value(own).expect("JSON"), "", &mut fields);
    assert_eq!(names(1, |_| true), fields);
}

#[test]
fn every_flag_is_in_the_table_10_06_10_07_10_08_10_11() {
    let mut command = Cli::command();
    command.build();
    let run = command.find_subcommand("run").expect("kproxy run");
    let mut flags = BTreeSet::new();
    for argument in run.get_arguments() {
        flags.extend(argument.get_long().map(|name| format!("--{name}")));
        flags.extend(argument.get_short().map(|name| format!("-{name}")));
    }
    assert_eq!(names(2, |_| true), flags);
}

/// Whoever sets what has no meaning learns it from the log and from the table alike.
#[test]
fn the_table_says_note_where_a_note_is_given() {
    let noted = names(1, |row| row[3] == "note");
    let is_told = |field: &&String| {
        NO_MEANING
            .iter()
            .any(|(path, _)| field == path || field.starts_with(&format!("{path}.")))
    };
    let silent: Vec<_> = noted.iter().filter(|field| !is_told(field)).collect();
    assert_eq!(silent, Vec::<&String>::new(), "they have no note");
    let honoured = names(1, |row| row[3] == "honoured");
    let told: Vec<_> = honoured.iter().filter(is_told).collect();
    assert_eq!(
        told,
        Vec::<&String>::new(),
        "they have a note, but the table says otherwise"
    );
}

/// The sample is one that works.
#[test]
fn the_sample_is_accepted() {
    let (_, sample) = DOCUMENT.split_once("```yaml\n").expect("a sample");
    let (sample, _) = sample.split_once("```").expect("its end");
    let documents = super::decode::decode(sample).expect("a configuration");
    assert_eq!(documents.notes, Vec::<String>::new());
    let own = documents.own.expect("both documents");
    assert!(own.remove_kube_proxy_rules && documents.kube_proxy.is_some());
}
