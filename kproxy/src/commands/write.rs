//! Writes a configuration with all of its defaults (semantics 10.12).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::config::{KproxyConfiguration, Loaded, own_document};

/// Writes kube-proxy's document, and kproxy's own one if it says anything: without it, kube-proxy can read the file.
///
/// # Errors
///
/// When the file can not be written.
pub fn write(loaded: &Loaded, file: &Path) -> Result<()> {
    let text = yaml(loaded)?;
    fs::write(file, text).with_context(|| format!("write the configuration to {}", file.display()))?;
    println!("wrote the configuration to {}", file.display());
    Ok(())
}

/// The text of the file.
fn yaml(loaded: &Loaded) -> Result<String> {
    let Loaded {
        config,
        own,
        notes: _,
        file: _,
    } = loaded;
    let mut text = serde_yaml_ng::to_string(&config.document)?;
    let nothing = KproxyConfiguration {
        api_version: own_document::API_VERSION.into(),
        kind: own_document::KIND.into(),
        ..KproxyConfiguration::default()
    };
    if *own != nothing {
        text.push_str("---\n");
        text.push_str(&serde_yaml_ng::to_string(own)?);
    }
    Ok(text)
}
