//! Every item of the specification is shown by a test, or has a reason why not: `tests/semantics.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kproxy_tests::acceptance::rows;
use serde::Deserialize;

/// Items in each section of the specification, from section 1 on.
const SECTIONS: [u32; 11] = [29, 41, 61, 14, 19, 12, 22, 6, 24, 21, 18];

/// What the file says about one item.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Entry {
    /// Each `FILE::FUNCTION` of a test, or `row: START OF ITS NAME` in the acceptance table.
    Shown(Vec<String>),
    /// It does not concern kproxy.
    NotApplicable {
        #[serde(rename = "not-applicable")]
        not_applicable: String,
    },
    /// It belongs to what is not built yet.
    Open { open: String },
}

#[test]
fn every_item_is_mapped_to_tests_that_exist() {
    let path = workspace().join("tests/semantics.toml");
    let text = fs::read_to_string(&path).expect("tests/semantics.toml");
    let entries: BTreeMap<String, Entry> =
        toml::from_str(&text).unwrap_or_else(|error| panic!("tests/semantics.toml: {error}"));
    let rows: Vec<String> = rows::all().into_iter().map(|row| row.name).collect();

    let mut wrong = Vec::new();
    let items = items();
    wrong.extend(
        items
            .iter()
            .filter(|item| !entries.contains_key(*item))
            .map(|item| format!("{item} is missing")),
    );
    for (item, entry) in &entries {
        if !items.contains(item) {
            wrong.push(format!("{item} is no item of the specification"));
        }
        match entry {
            Entry::Shown(tests) => {
                if tests.is_empty() {
                    wrong.push(format!("{item} names no test"));
                }
                wrong.extend(tests.iter().filter_map(|test| problem(item, test, &rows)));
            }
            Entry::NotApplicable {
                not_applicable: reason,
            }
            | Entry::Open { open: reason } => {
                if reason.len() < 10 {
                    wrong.push(format!("{item} gives no reason"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn items() -> BTreeSet<String> {
    let sections = (1..).zip(SECTIONS);
    sections
        .flat_map(|(section, count)| (1..=count).map(move |item| format!("{section}.{item:02}")))
        .collect()
}

/// What is wrong with the name of a test that shall show an item. The test's file, or the row, has to speak of the item:
/// a test that is rewritten to show something else loses its place here.
fn problem(item: &str, test: &str, rows: &[String]) -> Option<String> {
    if let Some(start) = test.strip_prefix("row: ") {
        let known = rows.iter().any(|row| row.starts_with(start));
        let speaks = start.split([' ', ':', ',']).any(|word| word == item);
        return match (known, speaks) {
            (true, true) => None,
            (false, _) => Some(format!(
                "{item}: no row of the acceptance table starts with {start:?}"
            )),
            (true, false) => Some(format!("{item}: the row {start:?} is named after another item")),
        };
    }
    let Some((file, function)) = test.split_once("::") else {
        return Some(format!("{item}: {test:?} is neither FILE::FUNCTION nor a row"));
    };
    let Ok(source) = fs::read_to_string(workspace().join(file)) else {
        return Some(format!("{item}: {file} can not be read"));
    };
    if !is_test(&source, function) {
        return Some(format!("{item}: {file} has no test {function}"));
    }
    (!mentions(&source, item)).then(|| format!("{item}: {file} does not speak of it"))
}

/// Whether a function of this name stands under a test attribute, and is run.
fn is_test(source: &str, function: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let starts = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(function))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(number, line)| {
        let attributes = lines[..number].iter().rev().take_while(|line| {
            line.starts_with('#')
                || line.starts_with("//")
                || line.starts_with(')')
                || line.starts_with("reason")
        });
        let attributes: Vec<_> = attributes.collect();
        let has = |start: &str| attributes.iter().any(|line| line.starts_with(start));
        starts(line) && (has("#[test") || has("#[tokio::test")) && !has("#[ignore")
    })
}

/// Whether a number such as `2.22` stands in a text by itself, or at the end of a name as `_2_22`.
fn mentions(text: &str, item: &str) -> bool {
    let ends = |number: &str, start: usize| {
        let rest = &text[start + number.len()..];
        !rest.starts_with(|next: char| next.is_ascii_digit())
    };
    let in_a_name = format!("_{}", item.replace('.', "_"));
    let begins = |start: usize| !text[..start].ends_with(|last: char| last.is_ascii_digit() || last == '.');
    text.match_indices(item)
        .any(|(start, _)| begins(start) && ends(item, start))
        || text
            .match_indices(&in_a_name)
            .any(|(start, _)| ends(&in_a_name, start))
}

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}
