//! The image: one program that needs nothing beside itself.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use kproxy_tests::container::{Container, image};

use super::stage::{Stage, on_stage};

/// It runs where there is nothing else, with no privilege at all.
async fn runs_alone(stage: Stage<'_>) -> anyhow::Result<()> {
    let container = Container {
        program: image::program()?,
        arguments: vec!["version".to_owned()],
        environment: BTreeMap::new(),
        mounts: Vec::new(),
        read_only_root: true,
        no_new_privileges: true,
        capabilities: BTreeSet::new(),
    };
    let (success, said) = stage.run(&container)?;
    ensure!(success && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    Ok(())
}

/// Programs that are linked with the machine's libraries do not: what is run above is not one of them by accident.
async fn others_do_not(stage: Stage<'_>) -> anyhow::Result<()> {
    let container = Container {
        program: env!("CARGO_BIN_EXE_echo").into(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        mounts: Vec::new(),
        read_only_root: true,
        no_new_privileges: true,
        capabilities: BTreeSet::new(),
    };
    let (success, said) = stage.run(&container)?;
    ensure!(!success && said.contains("No such file"), "{said}");
    Ok(())
}

#[test]
fn the_program_runs_with_nothing_around_it() {
    on_stage("alone", runs_alone);
}

#[test]
fn a_program_with_libraries_does_not() {
    on_stage("libraries", others_do_not);
}
