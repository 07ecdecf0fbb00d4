//! A directory of manifests as it is now, without following it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::disk;
use super::read::Contents;
use super::shelf::Shelf;
use crate::model::Kind;
use crate::source::News;

/// What the manifests of a directory say, with all lists complete.
#[derive(Debug)]
pub struct Snapshot {
    /// Their objects.
    pub news: Vec<News>,
    /// Files that can not be read and so are passed over, each with the reason, and objects that two files have.
    pub problems: Vec<String>,
}

/// Reads the manifests of a directory once, as the agent would if it started now.
///
/// # Errors
/// The directory can not be read.
pub fn read_manifests(directory: &Path) -> io::Result<Snapshot> {
    let look = disk::look(directory, &BTreeMap::new(), &BTreeSet::new())?;
    let mut shelf = Shelf::default();
    let mut news: Vec<News> = Kind::ALL.into_iter().map(News::Listing).collect();
    let mut problems = Vec::new();
    for (file, contents) in look.read {
        match contents {
            Ok(Contents { objects, ignored: _ }) => {
                let (new, repeated) = shelf.put(&file, objects);
                news.extend(new);
                let repeated = repeated.into_iter();
                problems.extend(repeated.map(|it| {
                    format!(
                        "{} {} is ignored in {file}, because {} has it too",
                        it.kind, it.name, it.file
                    )
                }));
            }
            Err(error) => problems.push(format!("{file} is passed over: {error}")),
        }
    }
    news.extend(Kind::ALL.into_iter().map(News::Listed));
    Ok(Snapshot { news, problems })
}

#[cfg(test)]
mod tests {
    use kproxy_common::Address;

    use super::*;
    use crate::source::Change;

    #[test]
    fn good_files_count_and_bad_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}";
        let files = [
            ("a.yaml", service),
            ("b.yaml", &service.replace("10.96.0.1", "10.96.0.2")),
            ("c.yaml", "kind: ["),
            ("d.txt", ""),
        ];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let Snapshot { news, problems } = read_manifests(folder.path()).unwrap();
        let addresses = news.iter().filter_map(|news| {
            let News::Service(Change::Applied(service)) = news else {
                return None;
            };
            Some(&service.object.as_ref()?.cluster_ips)
        });
        let first: Address = std::net::Ipv4Addr::new(10, 96, 0, 1).into();
        assert!(addresses.clone().count() > 0, "the good file counts: {news:?}");
        for addresses in addresses {
            assert_eq!(addresses[..], [first], "the first file speaks for the service");
        }
        assert!(
            problems[0].contains("default/web is ignored in b.yaml"),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("c.yaml is passed over: line 1"),
            "{problems:?}"
        );
        assert!(read_manifests(&folder.path().join("nowhere")).is_err());
    }
}
