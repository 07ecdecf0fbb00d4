//! Becomes what a container description says: `contain DESCRIPTION ROOT`, with the description in JSON and an empty
//! directory to build the container's root file system on.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use kproxy_tests::container::{Container, enter};

#[derive(Debug, Parser)]
struct Arguments {
    /// A file that describes the container.
    description: PathBuf,
    /// An empty directory.
    root: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { description, root } = Arguments::parse();
    let text = std::fs::read_to_string(&description)
        .with_context(|| format!("cannot read {}", description.display()))?;
    let container: Container = serde_json::from_str(&text).context("cannot read the description")?;
    match enter::enter(&container, &root)? {}
}
