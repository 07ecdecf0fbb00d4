//! What commands that only look have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::paths::DEFAULT_PIN_DIR;

/// Which kproxy to look at.
#[derive(Args, Clone, Debug)]
pub struct PinDirArgs {
    /// Directory in a BPF file system that holds kproxy's maps and links, as for `kproxy run`.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
    pub pin_dir: PathBuf,
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// A table without lines, as kubectl prints them.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    // A cell may be as long as it is.
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The lines of a table, without the spaces around them.
pub(super) fn lines(table: &Table) -> String {
    let lines = table
        .lines()
        .map(|line| line.trim_end().trim_start_matches(' ').to_owned());
    lines.collect::<Vec<_>>().join("\n")
}
