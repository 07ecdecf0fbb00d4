//! `--feature-gates`.

use std::str::FromStr;

use serde::Serialize;

/// One of `--feature-gates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureGate {
    /// The feature.
    pub name: String,
    /// Whether it is wanted.
    pub enabled: bool,
}

impl FromStr for FeatureGate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no feature gate; write it like AllowServiceExternalIPs=true");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let enabled = value.trim().to_lowercase().parse().ok().ok_or_else(wrong)?;
        let name = name.trim().to_owned();
        Ok(Self { name, enabled })
    }
}
