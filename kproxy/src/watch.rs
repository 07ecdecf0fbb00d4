//! Notices that something has happened in a directory, and waits until it is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

/// Quiet for this long: the editor is done with its renames.
const QUIET: Duration = Duration::from_millis(15);
/// A file that somebody is writing is waited for, but not for ever.
const WRITING: Duration = Duration::from_secs(1);
/// Where the kernel tells nothing (network file systems), the directory is looked at this often.
const ANYWAY: Duration = Duration::from_secs(10);

/// Something that happened.
#[derive(Debug)]
enum Touch {
    /// To a file.
    File {
        name: String,
        /// Its writer is not done with it.
        writing: bool,
    },
    /// To the directory itself: it was moved or removed, and nothing more will be heard of it.
    Lost,
    /// Something was missed.
    Unknown,
}

/// Watches one directory as long as it is held.
pub(crate) struct Watch {
    touches: UnboundedReceiver<Touch>,
    _watcher: RecommendedWatcher,
}

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The files it happened to.
    pub(crate) touched: BTreeSet<String>,
    /// The directory is not watched any more.
    pub(crate) lost: bool,
}

impl Watch {
    pub(crate) fn new(directory: &Path) -> notify::Result<Self> {
        // Unbounded, because the watcher's own thread must never wait: it would lose events of the kernel.
        let (sender, touches) = unbounded_channel();
        let itself = directory.to_path_buf();
        let mut watcher = notify::recommended_watcher(move |event| forward(event, &itself, &sender))?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self {
            touches,
            _watcher: watcher,
        })
    }

    /// Waits for something to happen and to be over, or for the time to look anyway.
    pub(crate) async fn settled(&mut self) -> Settled {
        let mut settled = Settled::default();
        let mut writing = BTreeSet::new();
        let mut deadline = Instant::now() + ANYWAY;
        let mut patience = None;
        while let Ok(Some(touch)) = timeout_at(deadline, self.touches.recv()).await {
            match touch {
                Touch::File { name, writing: true } => {
                    writing.insert(name.clone());
                    settled.touched.insert(name);
                }
                Touch::File { name, writing: false } => {
                    writing.remove(&name);
                    settled.touched.insert(name);
                }
                Touch::Lost => settled.lost = true,
                Touch::Unknown => {}
            }
            let patience = *patience.get_or_insert_with(|| Instant::now() + WRITING);
            deadline = if writing.is_empty() {
                patience.min(Instant::now() + QUIET)
            } else {
                patience
            };
        }
        settled
    }
}

fn forward(event: notify::Result<notify::Event>, itself: &Path, sender: &UnboundedSender<Touch>) {
    let Ok(event) = event else {
        return touch(sender, Touch::Unknown);
    };
    if event.need_rescan() {
        return touch(sender, Touch::Unknown);
    }
    let writing = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        // Also caused by our own reading.
        EventKind::Access(_) => return,
        EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => true,
        EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => false,
    };
    let moves = matches!(
        event.kind,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    for path in &event.paths {
        if path == itself {
            touch(sender, if moves { Touch::Lost } else { Touch::Unknown });
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            touch(
                sender,
                Touch::File {
                    name: name.to_owned(),
                    writing,
                },
            );
        }
    }
}

fn touch(sender: &UnboundedSender<Touch>, touch: Touch) {
    // Nobody listens any more when the source has just ended.
    let _ = sender.send(touch);
}
