//! One look at the directory: which files are there, and the content of those that have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::read::{Contents, ReadError, read};

/// Tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Which directory it was, should another one take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// What a look has shown.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) identity: Identity,
    /// Every manifest file.
    pub(super) files: BTreeMap<String, Stamp>,
    /// Those that have changed, in the order of their names.
    pub(super) read: Vec<(String, Result<Contents, ReadError>)>,
}

/// Which directory this is, and that it can be read.
pub(super) fn identity(directory: &Path) -> io::Result<Identity> {
    fs::read_dir(directory)?;
    let metadata = fs::metadata(directory)?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// Looks at the directory. Files with a `known` stamp are not read again, unless they are among the `touched`: two
/// versions of a file within one tick of the kernel's clock have the same stamp.
pub(super) fn look(
    directory: &Path,
    known: &BTreeMap<String, Stamp>,
    touched: &BTreeSet<String>,
) -> io::Result<Look> {
    let mut look = Look {
        identity: identity(directory)?,
        files: BTreeMap::new(),
        read: Vec::new(),
    };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| is_manifest(name))
            .map(str::to_owned)
        else {
            continue;
        };
        // Follows symbolic links, as mounted ConfigMaps have them. A link to nowhere is as good as no file.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => look.files.insert(name, Stamp::of(&metadata)),
            Ok(_) | Err(_) => None,
        };
    }
    for (name, stamp) in &look.files {
        if known.get(name) != Some(stamp) || touched.contains(name) {
            let path = directory.join(name);
            let contents = fs::read_to_string(path)
                .map_err(|error| unreadable(&error))
                .and_then(|text| read(&text));
            look.read.push((name.clone(), contents));
        }
    }
    Ok(look)
}

/// Editors keep unfinished business in hidden files and files with other endings.
fn is_manifest(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    !name.starts_with('.') && matches!(ending, Some("yaml" | "yml" | "json"))
}

fn unreadable(error: &io::Error) -> ReadError {
    let message = error.to_string();
    ReadError {
        line: 0,
        column: 0,
        field: ".".into(),
        message,
    }
}
