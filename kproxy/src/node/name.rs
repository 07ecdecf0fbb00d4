//! Which Node object this machine is.

use anyhow::{Context, Result, bail};

/// The node's name: what `--hostname-override` says, else `$NODE_NAME`, else the host's name; lower-case without
/// surrounding white space, as kube-proxy makes it.
///
/// # Errors
///
/// When the name is empty, or no name is given and the host's can not be read.
pub fn node_name(asked: Option<&str>) -> Result<String> {
    let environment = std::env::var("NODE_NAME").ok();
    if let Some(name) = asked {
        return normalize(name).context("--hostname-override is empty");
    }
    if let Some(name) = environment.as_deref().and_then(normalize) {
        return Ok(name);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("read the host's name")?;
    let Some(name) = normalize(&host) else {
        bail!("this host has no name: pass --hostname-override with the name of its Node object");
    };
    Ok(name)
}

fn normalize(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_lower_case() {
        for (asked, expected) in [
            ("node-1", Some("node-1")),
            (" Node-1.Example\n", Some("node-1.example")),
            (" ", None),
        ] {
            assert_eq!(normalize(asked).as_deref(), expected);
        }
        assert_eq!(node_name(Some("A")).ok().as_deref(), Some("a"));
        assert!(node_name(Some(" ")).is_err());
    }
}
