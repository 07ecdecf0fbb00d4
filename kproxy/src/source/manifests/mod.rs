//! A directory of manifests as a source: how kproxy runs without a cluster.
//!
//! [`crate::watch`] notices changes, [`disk`] looks at the files, [`read`] decodes them, [`complete`] fills in what an API
//! server would have, and [`shelf`] decides which file speaks for which object. A file that can not be read keeps its
//! last good content; a directory that disappears keeps all of it until it is back.
//!
//! A file that can not be read from the start on has no such content. What it holds may be in the kernel from an earlier
//! run, so [`News::Unread`] says that something is missing: all other files are served, but nothing of the earlier run
//! is removed before this one can be read or is gone.

mod complete;
mod disk;
mod read;
mod shelf;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendError;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{Event, News};
use crate::model::Kind;
use crate::watch::{Settled, Watch};
use disk::{Look, Stamp};
use read::{Contents, ReadError};
use shelf::{Repeated, Shelf};

/// How often a directory that has disappeared is looked for.
const ABSENT_AGAIN: Duration = Duration::from_millis(500);
/// How soon a directory that has just been replaced is looked at again.
const REPLACED_AGAIN: Duration = Duration::from_millis(20);

/// Why a directory can not be followed from the start.
#[derive(Debug, Error)]
pub enum ManifestsError {
    /// It is not there, is no directory, or may not be read.
    #[error("the manifest directory {} can not be read; check --manifests", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not watch it.
    #[error(
        "the manifest directory {} can not be watched; if inotify's limits are reached, raise \
         fs.inotify.max_user_instances and fs.inotify.max_user_watches",
        directory.display()
    )]
    Watch {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

/// Opens a directory. The future sends what its files say, and what changes, until the receiver is gone.
///
/// # Errors
/// The directory can not be read or watched. Later it is waited for.
pub fn manifests(
    directory: PathBuf,
    sender: Sender<Event>,
) -> Result<impl Future<Output = ()> + Send, ManifestsError> {
    let mut folder = Folder::open(directory)?;
    Ok(async move {
        tokio::select! {
            // Following ends only when nobody listens any more.
            _ = folder.follow(&sender) => {}
            () = sender.closed() => {}
        }
    })
}

struct Folder {
    directory: Arc<Path>,
    watch: Watch,
    identity: disk::Identity,
    files: BTreeMap<String, Stamp>,
    shelf: Shelf,
    /// Files that could not be read when kproxy started, nor since then.
    unread: BTreeSet<String>,
    told: Told,
}

/// What has been said already.
#[derive(Default)]
struct Told {
    failing: BTreeMap<String, ReadError>,
    repeated: BTreeMap<String, Vec<Repeated>>,
    ignored: BTreeSet<(String, String)>,
}

impl Folder {
    fn open(directory: PathBuf) -> Result<Self, ManifestsError> {
        let identity = disk::identity(&directory).map_err(|source| ManifestsError::Directory {
            directory: directory.clone(),
            source,
        })?;
        let watch = Watch::new(&directory).map_err(|source| ManifestsError::Watch {
            directory: directory.clone(),
            source,
        })?;
        let directory = directory.into();
        let (files, shelf, told) = (BTreeMap::new(), Shelf::default(), Told::default());
        Ok(Self {
            directory,
            watch,
            identity,
            files,
            shelf,
            unread: BTreeSet::new(),
            told,
        })
    }

    async fn follow(&mut self, sender: &Sender<Event>) -> Result<(), SendError<Event>> {
        for kind in Kind::ALL {
            sender.send(Event::now(News::Listing(kind))).await?;
        }
        let mut listed = false;
        let mut settled = Settled::default();
        loop {
            if settled.lost {
                self.reopen().await;
            }
            match look(&self.directory, &self.files, &settled.touched).await {
                Ok(look) if look.identity == self.identity => self.take(look, sender).await?,
                // Another directory of the same name, or none: the watch is on something that is gone.
                Ok(_) | Err(_) => {
                    settled.lost = true;
                    sleep(REPLACED_AGAIN).await;
                    continue;
                }
            }
            if !std::mem::replace(&mut listed, true) {
                self.unread = self.told.failing.keys().cloned().collect();
                self.tell_unread(sender).await?;
                for kind in Kind::ALL {
                    sender.send(Event::now(News::Listed(kind))).await?;
                }
            }
            settled = self.watch.settled().await;
        }
    }

    async fn take(&mut self, look: Look, sender: &Sender<Event>) -> Result<(), SendError<Event>> {
        let arrived = Instant::now();
        let gone: Vec<String> = self
            .files
            .keys()
            .filter(|file| !look.files.contains_key(*file))
            .cloned()
            .collect();
        let mut news = Vec::new();
        for file in gone {
            news.append(&mut self.shelf.remove(&file));
            self.told.forget(&file);
        }
        for (file, contents) in look.read {
            match contents {
                Ok(Contents { objects, ignored }) => {
                    let (mut new, repeated) = self.shelf.put(&file, objects);
                    news.append(&mut new);
                    self.told.good(&file, repeated, ignored);
                }
                Err(error) => self.told.bad(&file, error, self.shelf.knows(&file)),
            }
        }
        self.files = look.files;
        for news in news {
            sender.send(Event { arrived, news }).await?;
        }
        let before = self.unread.len();
        self.unread.retain(|file| self.told.failing.contains_key(file));
        if self.unread.len() < before {
            self.tell_unread(sender).await?;
        }
        Ok(())
    }

    async fn tell_unread(&self, sender: &Sender<Event>) -> Result<(), SendError<Event>> {
        sender.send(Event::now(News::Unread(self.unread.len()))).await
    }

    /// Waits until there is a directory of this name, and watches that one.
    async fn reopen(&mut self) {
        let directory = self.directory.display().to_string();
        let mut told = false;
        loop {
            // The watch goes first, so that nothing happens between it and the next look.
            let watch = Watch::new(&self.directory).map_err(|error| error.to_string());
            let identity = disk::identity(&self.directory).map_err(|error| error.to_string());
            match watch.and_then(|watch| Ok((watch, identity?))) {
                Ok(found) => {
                    (self.watch, self.identity) = found;
                    if told {
                        info!(directory, "the manifest directory is back");
                    }
                    return;
                }
                Err(error) if !told => {
                    told = true;
                    error!(
                        directory,
                        error, "the manifest directory is gone; services stay as they are until it is back"
                    );
                }
                Err(_) => {}
            }
            sleep(ABSENT_AGAIN).await;
        }
    }
}

impl Told {
    fn good(&mut self, file: &str, repeated: Vec<Repeated>, ignored: BTreeSet<String>) {
        if self.failing.remove(file).is_some() {
            info!(file, "the manifest can be read again");
        }
        let before = self
            .repeated
            .insert(file.to_owned(), repeated)
            .unwrap_or_default();
        for again in self.repeated[file].iter().filter(|again| !before.contains(again)) {
            let Repeated {
                kind,
                name,
                file: first,
            } = again;
            warn!(
                file,
                "{kind} {name} is ignored in this manifest, because {first} has it too; remove one of them"
            );
        }
        for kind in ignored {
            if self.ignored.insert((file.to_owned(), kind.clone())) {
                info!(
                    file,
                    kind,
                    "objects of this kind are ignored; kproxy needs Services, EndpointSlices, Nodes \
                     and ServiceCIDRs"
                );
            }
        }
    }

    fn bad(&mut self, file: &str, problem: ReadError, known: bool) {
        if self.failing.get(file) != Some(&problem) {
            let ReadError {
                line,
                column,
                field,
                message,
            } = &problem;
            let consequence = if known {
                "its last good content stays in use"
            } else {
                "nothing is taken from it, and what is in the kernel already stays"
            };
            // Fields that are `None` are left out.
            let some = |number: &usize| (*number > 0).then_some(*number);
            error!(
                file,
                line = some(line),
                column = some(column),
                field = (*line > 0).then_some(field),
                "the manifest can not be read, {consequence}; correct or remove it: {message}"
            );
        }
        self.failing.insert(file.to_owned(), problem);
    }

    fn forget(&mut self, file: &str) {
        self.failing.remove(file);
        self.repeated.remove(file);
    }
}

/// [`disk::look`] on a thread that may wait for a disk.
async fn look(
    directory: &Arc<Path>,
    known: &BTreeMap<String, Stamp>,
    touched: &BTreeSet<String>,
) -> io::Result<Look> {
    let (directory, known, touched) = (directory.clone(), known.clone(), touched.clone());
    let look = tokio::task::spawn_blocking(move || disk::look(&directory, &known, &touched)).await;
    look.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
