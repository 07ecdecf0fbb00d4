//! The log section (`k8s.io/component-base/logs/api/v1`).

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::GoDuration;

/// How and how much is logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// `text` or `json`.
    pub format: String,
    /// How often buffered lines are written.
    pub flush_frequency: FlushFrequency,
    /// How much: 0 is usual, 4 is for debugging.
    pub verbosity: u32,
    /// Other verbosities for single source files.
    pub vmodule: Vec<VerbosityOf>,
    /// Of the formats.
    pub options: FormatOptions,
}

/// A duration, or, for compatibility, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FlushFrequency {
    /// Nanoseconds.
    Nanoseconds(i64),
    /// A duration.
    Duration(GoDuration),
}

impl Default for FlushFrequency {
    fn default() -> Self {
        Self::Nanoseconds(0)
    }
}

/// The verbosity of source files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VerbosityOf {
    /// Which files: a name without extension, or a pattern.
    pub file_pattern: String,
    /// How much.
    pub verbosity: u32,
}

/// An entry of `--vmodule` that can not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern with a verbosity; write it like devices=4")]
pub struct VerbosityError(String);

impl FromStr for VerbosityOf {
    type Err = VerbosityError;

    fn from_str(text: &str) -> Result<Self, VerbosityError> {
        text.split_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .and_then(|(pattern, verbosity)| {
                Some(Self {
                    file_pattern: pattern.to_owned(),
                    verbosity: verbosity.parse().ok()?,
                })
            })
            .ok_or_else(|| VerbosityError(text.to_owned()))
    }
}

/// Options of the formats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FormatOptions {
    /// Of `text`.
    pub text: OutputRouting,
    /// Of `json`.
    pub json: OutputRouting,
}

/// Which lines go where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutputRouting {
    /// Whether errors go to standard error and the rest to standard output.
    pub split_stream: bool,
    /// Bytes that may be held back (a Kubernetes quantity: a number or a text such as `64Ki`).
    pub info_buffer_size: Value,
}

impl Default for OutputRouting {
    fn default() -> Self {
        Self {
            split_stream: false,
            info_buffer_size: Value::from("0"),
        }
    }
}
