//! Everything that is wrong with a configuration, all at once (semantics 10.04).

use std::fmt::{self, Display};

use thiserror::Error;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct FieldProblem {
    /// The field, as in `KubeProxyConfiguration.nodePortAddresses[1]`.
    pub path: String,
    /// What is wrong with it, and what to write.
    pub message: String,
}

/// A configuration that can not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct InvalidConfiguration {
    /// At least one, in the order of the fields.
    pub problems: Vec<FieldProblem>,
}

impl Display for InvalidConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        write!(f, "the configuration can not be used: {}", problems.join("; "))
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<FieldProblem>);

impl Problems {
    pub(super) fn add(&mut self, kind: &str, field: impl Display, message: impl Display) {
        self.0.push(FieldProblem {
            path: format!("{kind}.{field}"),
            message: message.to_string(),
        });
    }

    /// Says whether that is enough to give up.
    pub(super) fn finish(self) -> Result<(), InvalidConfiguration> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(InvalidConfiguration { problems: self.0 })
    }
}
