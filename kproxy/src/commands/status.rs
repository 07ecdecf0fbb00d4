//! Shows what kproxy has on this node: programs and where they are attached, maps and how full they are, outcomes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kproxy_common::Family;
use kproxy_common::maps::LAYOUT_VERSION;
use kproxy_ebpf::Tables as _;
use nix::net::if_::if_indextoname;
use serde::Serialize;

use super::look::{Output, PinDirArgs, lines, table};
use crate::dataplane::{Attached, MapFill, Pinned, Place};
use crate::node::mounts;

/// `kproxy status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// How the answer looks.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which kproxy of this node.
    #[command(flatten)]
    pub pins: PinDirArgs,
}

/// What kproxy has on this node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    pin_dir: PathBuf,
    /// Version of the maps' layout.
    layout: u32,
    /// The node's own address of each family.
    node_addresses: Vec<String>,
    #[serde(rename = "serviceCIDRs")]
    service_cidrs: Vec<String>,
    programs: Vec<Program>,
    maps: Vec<MapFill>,
    /// Every outcome that has occurred.
    counters: Vec<Counted>,
}

#[derive(Debug, Serialize)]
struct Program {
    program: String,
    places: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Counted {
    door: &'static str,
    outcome: &'static str,
    count: u64,
}

/// Prints the status.
///
/// # Errors
///
/// When nothing is pinned there, or something can not be read.
pub fn status(arguments: &StatusArgs) -> Result<()> {
    let status = Status::read(&Pinned::open(&arguments.pins.pin_dir)?)?;
    match arguments.output {
        Output::Text => println!("{}", status.text()),
        Output::Json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&status).context("write the status")?
            );
        }
    }
    Ok(())
}

impl Status {
    fn read(pinned: &Pinned) -> Result<Self> {
        let contents = pinned.contents()?;
        let tables = pinned.tables()?;
        let known = [Family::V4, Family::V6].map(|family| tables.node_address(family));
        let counters = pinned.counters()?.into_iter().filter(|(.., count)| *count > 0);
        Ok(Self {
            pin_dir: pinned.root().to_owned(),
            layout: LAYOUT_VERSION,
            node_addresses: known.iter().flatten().map(ToString::to_string).collect(),
            service_cidrs: tables.service_cidrs().map(ToString::to_string).collect(),
            programs: programs(pinned.attached()?),
            maps: pinned.fill(&contents)?,
            counters: counters
                .map(|(door, counter, count)| Counted {
                    door: door.name(),
                    outcome: counter.name(),
                    count,
                })
                .collect(),
        })
    }

    fn text(&self) -> String {
        let Self {
            pin_dir,
            layout,
            node_addresses,
            service_cidrs,
            programs,
            maps,
            counters,
        } = self;
        let list = |items: &[String]| {
            if items.is_empty() {
                "unknown".into()
            } else {
                items.join(" ")
            }
        };
        let mut attached = table(["PROGRAM", "ATTACHED TO"]);
        for Program { program, places } in programs {
            attached.add_row([program.clone(), places.join(" ")]);
        }
        let mut fill = table(["MAP", "ENTRIES", "CAPACITY"]);
        for MapFill {
            map,
            entries,
            capacity,
        } in maps
        {
            fill.add_row([(*map).to_owned(), entries.to_string(), capacity.to_string()]);
        }
        let mut outcomes = table(["DOOR", "OUTCOME", "COUNT"]);
        for Counted { door, outcome, count } in counters {
            outcomes.add_row([(*door).to_owned(), (*outcome).to_owned(), count.to_string()]);
        }
        format!(
            "pinned in       {} (layout {layout})\nnode addresses  {}\nservice CIDRs   {}\n\n{}\n\n{}\n\n{}",
            pin_dir.display(),
            list(node_addresses),
            list(service_cidrs),
            lines(&attached),
            lines(&fill),
            lines(&outcomes),
        )
    }
}

/// Every program with all its places.
fn programs(attached: Vec<Attached>) -> Vec<Program> {
    let mut cgroups = BTreeMap::new();
    let mut programs: Vec<Program> = Vec::new();
    for Attached { program, place } in attached {
        let place = match place {
            Place::Cgroup(inode) => {
                let path = cgroups.entry(inode).or_insert_with(|| cgroup(inode));
                match path {
                    Some(path) => path.display().to_string(),
                    None => format!("cgroup {inode}"),
                }
            }
            Place::Device(index) => {
                let name = if_indextoname(index)
                    .ok()
                    .and_then(|name| name.into_string().ok());
                name.unwrap_or_else(|| format!("interface {index}"))
            }
            Place::Gone => "nothing any more".into(),
        };
        match programs.last_mut().filter(|last| last.program == program) {
            Some(last) => last.places.push(place),
            None => programs.push(Program {
                program,
                places: vec![place],
            }),
        }
    }
    programs
}

/// The directory of a cgroup: its inode number is the kernel's id.
fn cgroup(inode: u64) -> Option<PathBuf> {
    find(&mounts::cgroup(None).ok()?, inode)
}

fn find(directory: &Path, inode: u64) -> Option<PathBuf> {
    if fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == inode) {
        return Some(directory.to_owned());
    }
    let children = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let mut directories = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.find_map(|entry| find(&entry.path(), inode))
}
