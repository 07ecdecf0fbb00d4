//! A page for people, all in one file.

use crate::results::Results;

pub(crate) fn html(results: &Results) -> anyhow::Result<String> {
    Ok(crate::summary::text(results))
}
