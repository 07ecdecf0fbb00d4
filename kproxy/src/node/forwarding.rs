//! Whether this network namespace passes packets on that are not for itself.

use std::fs;
use std::path::Path;

/// The switches by family, as sysctl(8) names them.
const SWITCHES: [&str; 2] = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"];

/// The switches that are off. One that does not exist belongs to a family that the machine has not.
#[must_use]
pub fn switched_off() -> Vec<&'static str> {
    switched_off_in(Path::new("/proc/sys"))
}

fn switched_off_in(root: &Path) -> Vec<&'static str> {
    let is_off = |name: &&'static str| {
        let value = fs::read_to_string(root.join(name.replace('.', "/")));
        value.is_ok_and(|value| value.trim() == "0")
    };
    SWITCHES.into_iter().filter(is_off).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |name: &str, value: &str| {
            let path = root.path().join(name.replace('.', "/"));
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, value).expect("written");
        };
        assert!(switched_off_in(root.path()).is_empty(), "no such families");
        write(SWITCHES[0], "0\n");
        write(SWITCHES[1], "1\n");
        assert_eq!(switched_off_in(root.path()), ["net.ipv4.ip_forward"]);
        write(SWITCHES[1], "0\n");
        assert_eq!(switched_off_in(root.path()), SWITCHES);
    }
}
