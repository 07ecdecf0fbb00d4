//! All files together: which objects there are, and which file speaks for each.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::complete;
use super::read::Found;
use crate::model::{Kind, Name, ObjectName, Problem};
use crate::source::kind::Object;
use crate::source::{Change, News};

type Key = (Kind, ObjectName);

/// The good content of every file. Of files that have the same object, the first by name speaks for it.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    files: BTreeMap<String, BTreeMap<Key, News>>,
    owners: BTreeMap<Key, BTreeSet<String>>,
}

/// An object that a file has in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) kind: Kind,
    pub(super) name: ObjectName,
    /// The file that speaks for it.
    pub(super) file: String,
}

impl Shelf {
    /// A file has this content now. Gives what is new, and what it repeats.
    pub(super) fn put(&mut self, file: &str, objects: Vec<Found>) -> (Vec<News>, Vec<Repeated>) {
        let origin: Name = file.into();
        let (mut content, mut repeated) = (BTreeMap::new(), Vec::new());
        for (key, news) in objects.into_iter().map(|found| parse(found, &origin)) {
            match content.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(news);
                }
                Entry::Occupied(entry) => {
                    let (kind, name) = entry.key().clone();
                    repeated.push(Repeated {
                        kind,
                        name,
                        file: file.to_owned(),
                    });
                }
            }
        }
        let touched = self.replace(file, content);
        let first = |key: &Key| {
            self.owners
                .get(key)
                .and_then(|files| files.first())
                .filter(|first| *first != file)
        };
        for key in self.files.get(file).into_iter().flat_map(BTreeMap::keys) {
            if let Some(first) = first(key) {
                repeated.push(Repeated {
                    kind: key.0,
                    name: key.1.clone(),
                    file: first.clone(),
                });
            }
        }
        (self.news(touched), repeated)
    }

    /// Whether a file has ever been readable.
    pub(super) fn knows(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// A file is gone. Gives what changes by it.
    pub(super) fn remove(&mut self, file: &str) -> Vec<News> {
        let touched = self.replace(file, BTreeMap::new());
        self.files.remove(file);
        self.news(touched)
    }

    fn replace(&mut self, file: &str, content: BTreeMap<Key, News>) -> BTreeSet<Key> {
        let mut touched: BTreeSet<Key> = content.keys().cloned().collect();
        for key in &touched {
            self.owners
                .entry(key.clone())
                .or_default()
                .insert(file.to_owned());
        }
        let before = self.files.insert(file.to_owned(), content).unwrap_or_default();
        for key in before
            .into_keys()
            .filter(|key| !self.files[file].contains_key(key))
        {
            if let Some(files) = self.owners.get_mut(&key) {
                files.remove(file);
                if files.is_empty() {
                    self.owners.remove(&key);
                }
            }
            touched.insert(key);
        }
        touched
    }

    /// What is true now of these objects.
    fn news(&self, keys: BTreeSet<Key>) -> Vec<News> {
        let current = |key: &Key| {
            let file = self.owners.get(key)?.first()?;
            self.files.get(file)?.get(key).cloned()
        };
        keys.into_iter()
            .map(|key| current(&key).unwrap_or_else(|| News::removed(key.0, key.1)))
            .collect()
    }
}

fn parse(found: Found, origin: &Name) -> (Key, News) {
    match found {
        Found::Service(mut object) => match complete::service(&mut object) {
            Ok(()) => parse_object(*object, origin),
            Err(problem) => rejected::<k8s_openapi::api::core::v1::Service>(problem, origin),
        },
        Found::Slice(mut object) => {
            complete::namespace(&mut object.metadata);
            parse_object(*object, origin)
        }
        Found::Node(object) => parse_object(*object, origin),
        Found::ServiceCidr(object) => parse_object(*object, origin),
    }
}

fn parse_object<K: Object>(object: K, origin: &Name) -> (Key, News) {
    match object.parse() {
        Ok(mut parsed) => {
            parsed
                .problems
                .iter_mut()
                .for_each(|problem| problem.origin = Some(origin.clone()));
            ((K::OF, parsed.name.clone()), K::news(Change::Applied(parsed)))
        }
        Err(problem) => rejected::<K>(problem, origin),
    }
}

fn rejected<K: Object>(mut problem: Problem, origin: &Name) -> (Key, News) {
    problem.origin = Some(origin.clone());
    ((K::OF, problem.name.clone()), K::news(Change::Rejected(problem)))
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::*;

    fn service(name: &str, address: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
        )
    }

    fn put(shelf: &mut Shelf, file: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let (news, repeated) = shelf.put(file, read(text).unwrap().objects);
        (
            lines(news),
            repeated
                .into_iter()
                .map(|it| format!("{} in {}", it.name, it.file))
                .collect(),
        )
    }

    fn lines(news: Vec<News>) -> Vec<String> {
        let line = |news| {
            let News::Service(change) = news else {
                panic!("{news:?}")
            };
            match change {
                Change::Applied(parsed) => {
                    format!(
                        "+{} {:?}",
                        parsed.name,
                        parsed.object.map(|service| service.cluster_ips)
                    )
                }
                Change::Removed(name) => format!("-{name}"),
                Change::Rejected(problem) => format!("!{problem}"),
            }
        };
        news.into_iter().map(line).collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let mut shelf = Shelf::default();
        let (news, _) = put(
            &mut shelf,
            "a.yaml",
            &(service("x", "10.0.0.1") + &service("y", "10.0.0.2")),
        );
        assert_eq!(
            news,
            ["+default/x Some([10.0.0.1])", "+default/y Some([10.0.0.2])"]
        );
        assert_eq!(
            put(&mut shelf, "a.yaml", &service("y", "10.0.0.3")).0,
            ["-default/x", "+default/y Some([10.0.0.3])"]
        );
        assert_eq!(lines(shelf.remove("a.yaml")), ["-default/y"]);
    }

    #[test]
    fn the_first_file_speaks_for_an_object() {
        let mut shelf = Shelf::default();
        put(&mut shelf, "b.yaml", &service("x", "10.0.0.2"));
        let (news, repeated) = put(&mut shelf, "c.yaml", &service("x", "10.0.0.3"));
        assert_eq!(news, ["+default/x Some([10.0.0.2])"]);
        assert_eq!(repeated, ["default/x in b.yaml"]);
        assert_eq!(
            put(&mut shelf, "a.yaml", &service("x", "10.0.0.1")).0,
            ["+default/x Some([10.0.0.1])"]
        );
        assert_eq!(lines(shelf.remove("a.yaml")), ["+default/x Some([10.0.0.2])"]);
        let twice = service("x", "10.0.0.4") + &service("x", "10.0.0.5");
        let (news, repeated) = put(&mut shelf, "b.yaml", &twice);
        assert_eq!(
            (news[0].as_str(), repeated[0].as_str()),
            ("+default/x Some([10.0.0.4])", "default/x in b.yaml")
        );
    }

    #[test]
    fn addresses_are_completed_or_asked_for() {
        let mut shelf = Shelf::default();
        let dual =
            service("x", "fd00::1").replace("clusterIP: fd00::1", "clusterIPs: [\"fd00::1\", 10.0.0.1]");
        assert_eq!(
            put(&mut shelf, "a.yaml", &dual).0,
            ["+default/x Some([fd00::1, 10.0.0.1])"]
        );
        let none = put(&mut shelf, "a.yaml", &service("x", "\"\"")).0;
        assert!(
            none[0].starts_with("!Service default/x in a.yaml, field spec.clusterIP: is missing"),
            "{none:?}"
        );
        assert_eq!(
            put(&mut shelf, "a.yaml", &service("x", "None")).0,
            ["+default/x None"]
        );
        let bad = shelf
            .put("a.yaml", read(&service("x", "10.0.0.999")).unwrap().objects)
            .0;
        let News::Service(Change::Applied(parsed)) = &bad[0] else {
            panic!("{bad:?}")
        };
        assert!(
            parsed.problems[0]
                .to_string()
                .contains("default/x in a.yaml, field spec.clusterIPs[0]"),
            "{bad:?}"
        );
    }
}
