//! Checks of `metadata` and of names, alike for all kinds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// What is wrong with an object's metadata.
pub(super) fn check(metadata: &ObjectMeta) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if !is_subdomain(name) {
        causes.push(Cause::invalid("metadata.name", &name, SUBDOMAIN));
    }
    for (key, value) in metadata.labels.iter().flatten() {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.labels", key, LABEL_KEY));
        }
        if !value.is_empty() && !is_label_text(value) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    for key in metadata.annotations.iter().flatten().map(|(key, _)| key) {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.annotations", key, LABEL_KEY));
        }
    }
    causes
}

/// A DNS subdomain (RFC 1123): labels joined by dots.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// A DNS label (RFC 1123), at most 63 lower-case letters, digits and dashes inside.
pub(super) fn is_dns_label(text: &str) -> bool {
    let byte_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(byte_allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS label (RFC 1035), which starts with a letter: names of services.
pub(super) fn is_service_name(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The name of a port: 15 characters, at least one of them a letter (RFC 6335).
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_label(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_label_text(name),
        None => is_label_text(key),
    }
}

fn is_label_text(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends(text.bytes().next())
        && ends(text.bytes().next_back())
}
