//! From command line and file to a configuration (semantics 10.06).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::decode::{Documents, decode};
use super::document::KubeProxyConfiguration;
use super::notes;
use super::own_document::KproxyConfiguration;
use super::watch::ConfigFile;
use super::{Config, own_document};
use crate::cli::RunArgs;
use crate::node::name::node_name;

/// A configuration, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What was asked for.
    pub config: Config,
    /// kproxy's own document with what the flags add to it.
    pub own: KproxyConfiguration,
    /// What has no meaning here, or another one than it seems. To be logged once the log is there.
    pub notes: Vec<String>,
    /// The file, if one was named.
    pub file: Option<ConfigFile>,
}

/// Reads the file, if one is named, and puts the flags over it that win.
///
/// # Errors
///
/// When the file can not be read, or something in it or in the flags can not be used.
pub fn load(arguments: &RunArgs) -> Result<Loaded> {
    let file = arguments.config.as_deref().map(read).transpose()?;
    let documents = file.as_ref().map(decode_file).transpose()?;
    let mut notes = Vec::new();
    let (mut document, own) = merge(arguments, documents, &mut notes);
    let asked = Some(document.hostname_override.as_str()).filter(|name| !name.is_empty());
    let node_name = node_name(asked)?;
    if asked.is_some() {
        document.hostname_override.clone_from(&node_name);
    }
    let config = Config::new(document, own.clone(), node_name, arguments.master.clone())?;
    notes.extend(notes::of(&config));
    Ok(Loaded {
        config,
        own,
        notes,
        file,
    })
}

fn read(path: &Path) -> Result<ConfigFile> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the configuration file {} can not be read", path.display()))?;
    let path = path.to_owned();
    Ok(ConfigFile { path, text })
}

fn decode_file(ConfigFile { path, text }: &ConfigFile) -> Result<Documents> {
    decode(text).with_context(|| format!("the configuration file {} can not be used", path.display()))
}

/// With a file, the flags that mirror its fields are ignored.
fn merge(
    arguments: &RunArgs,
    documents: Option<Documents>,
    notes: &mut Vec<String>,
) -> (KubeProxyConfiguration, KproxyConfiguration) {
    let flags = &arguments.kube_proxy;
    let (mut document, own) = match documents {
        None => (flags.clone().document(), None),
        Some(documents) => {
            notes.extend(documents.notes);
            let given = flags.given();
            if !given.is_empty() {
                notes.push(format!(
                    "with --config these flags are ignored, put what they say into the file: {}",
                    given.join(" ")
                ));
            }
            let document = documents.kube_proxy.unwrap_or_default();
            (document.with_defaults(), documents.own)
        }
    };
    arguments.logging.apply(&mut document.logging);
    let name = arguments.hostname_override.as_ref();
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        document.hostname_override.clone_from(name);
    }
    let own = own.unwrap_or_else(|| KproxyConfiguration {
        api_version: own_document::API_VERSION.into(),
        kind: own_document::KIND.into(),
        ..KproxyConfiguration::default()
    });
    (document, arguments.own.over(own))
}

#[cfg(test)]
mod tests;
