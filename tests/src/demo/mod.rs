//! The demo: the main job of kproxy, shown on two nodes, with every claim checked.
//!
//! * [`manifests`]: what `deploy/demo/` holds
//! * [`endpoints`], [`controller`]: the EndpointSlices of Services, which a real cluster's controller would write
//! * [`world`], `start`: API server, cluster, agents and servers, and how long changes take to reach the kernel
//! * [`scenes`]: what is shown, one file each
//! * [`screen`]: how it looks

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use tokio::runtime::Handle;

pub mod controller;
pub mod endpoints;
pub mod manifests;
pub mod scenes;
pub mod screen;
mod start;
pub mod world;

use manifests::Manifests;
use screen::Screen;
use world::World;

/// What the demo is given: an API server that runs, and a folder for files.
#[derive(Clone)]
pub struct Given {
    /// Runs the client and the controller.
    pub runtime: Handle,
    /// All rights on the API server.
    pub client: kube::Client,
    /// Where the API server listens.
    pub apiserver: SocketAddr,
    /// For programs on this machine.
    pub kubeconfig: String,
    /// For programs on this machine, as a file.
    pub kubeconfig_file: PathBuf,
    /// For files of the demo.
    pub folder: PathBuf,
}

/// Tells the story. `finished` hears whether all of it was true; with `keep` the cluster then stays until the process
/// ends.
///
/// # Errors
/// What kept the story from being told.
pub fn tell(given: Given, manifests: &Path, keep: bool, finished: &Sender<bool>) -> anyhow::Result<()> {
    let mut screen = Screen::new();
    let manifests = Manifests::read(manifests)?;
    let mut world = World::build(given, manifests, &mut screen)?;
    scenes::spread(&world, &mut screen)?;
    scenes::dns(&world, &mut screen)?;
    scenes::empty(&world, &mut screen)?;
    scenes::blue_green(&mut world, &mut screen)?;
    scenes::times(&world, &mut screen);
    let all_true = screen.verdict();
    finished.send(all_true).unwrap_or_default();
    if keep {
        scenes::keep(&world, &screen);
    }
    Ok(())
}
