//! Label and field selectors: parsed once per request, then matched against stored objects.

use serde_json::Value;

use super::kinds::Kind;
use super::status::Status;

/// What a request asks for inside its kind and namespace.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

#[derive(Debug)]
struct FieldTerm {
    pointer: &'static str,
    value: String,
    equal: bool,
}

impl Selector {
    /// Parses `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, Status> {
        let labels = labels.map(parse_labels).transpose()?.unwrap_or_default();
        let fields = fields
            .map(|text| parse_fields(kind, text))
            .transpose()?
            .unwrap_or_default();
        Ok(Self { labels, fields })
    }

    /// Whether every object matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object (in its stored form) is selected.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.matches(labels))
            && self.fields.iter().all(|term| term.matches(object))
    }
}

impl Requirement {
    fn matches(&self, labels: &Value) -> bool {
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        let among = |values: &[String], label: &str| values.iter().any(|value| value == label);
        match self {
            Self::In(key, values) => label(key).is_some_and(|label| among(values, label)),
            Self::NotIn(key, values) => label(key).is_none_or(|label| !among(values, label)),
            Self::Exists(key) => label(key).is_some(),
            Self::Missing(key) => label(key).is_none(),
        }
    }
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let equal = match object.pointer(self.pointer) {
            Some(Value::String(text)) => *text == self.value,
            Some(Value::Null) | None => self.value.is_empty(),
            Some(other) => serde_json::from_str(&self.value).is_ok_and(|value: Value| value == *other),
        };
        equal == self.equal
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Status> {
    split_outside_parentheses(text)
        .into_iter()
        .map(|term| {
            parse_label_term(term).ok_or_else(|| {
                Status::bad_request(format!(
                    "unable to parse requirement: {term:?} of the label selector"
                ))
            })
        })
        .collect()
}

fn parse_label_term(term: &str) -> Option<Requirement> {
    if let Some(key) = term.strip_prefix('!') {
        return Some(Requirement::Missing(key_of(key)?));
    }
    if let Some((left, right)) = term.split_once('(') {
        let values = right
            .strip_suffix(')')?
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let mut words = left.split_whitespace();
        let key = key_of(words.next()?)?;
        return match (words.next()?, words.next()) {
            ("in", None) => Some(Requirement::In(key, values)),
            ("notin", None) => Some(Requirement::NotIn(key, values)),
            _ => None,
        };
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Some(Requirement::NotIn(key_of(key)?, vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Requirement::In(key_of(key)?, vec![value.trim().to_owned()]));
    }
    Some(Requirement::Exists(key_of(term)?))
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    let allowed = |byte: char| byte.is_ascii_alphanumeric() || "-_./".contains(byte);
    (!key.is_empty() && key.chars().all(allowed)).then(|| key.to_owned())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let commas = |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    };
    text.split(commas)
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldTerm>, Status> {
    text.split(',')
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(|term| parse_field_term(kind, term))
        .collect()
}

fn parse_field_term(kind: &Kind, term: &str) -> Result<FieldTerm, Status> {
    let Some((label, value)) = term.split_once('=') else {
        return Err(Status::bad_request(format!(
            "invalid field selector: {term:?}; can't understand it"
        )));
    };
    let (label, equal) = label
        .strip_suffix('!')
        .map_or((label, true), |label| (label, false));
    let value = value.strip_prefix('=').unwrap_or(value).to_owned();
    let pointer = match label {
        "metadata.name" => "/metadata/name",
        "metadata.namespace" => "/metadata/namespace",
        other => kind
            .fields
            .iter()
            .find_map(|(label, pointer)| (*label == other).then_some(*pointer))
            .ok_or_else(|| Status::bad_request(format!("field label not supported: {other}")))?,
    };
    Ok(FieldTerm {
        pointer,
        value,
        equal,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::by_path;
    use super::Selector;

    #[test]
    fn selectors_match_as_kubernetes_says() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
            "spec": {"clusterIP": "10.96.0.7", "type": "ClusterIP"},
        });
        let cases = [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,tier=front", "", true),
            ("app!=web", "", false),
            ("colour!=red", "", true),
            ("app in (web, api),tier", "", true),
            ("app in (api)", "", false),
            ("tier notin (back,middle)", "", true),
            ("colour notin (red)", "", true),
            ("!tier", "", false),
            ("!colour", "", true),
            ("colour", "", false),
            ("", "metadata.name=web", true),
            ("", "metadata.name!=web", false),
            ("", "spec.clusterIP==10.96.0.7,metadata.namespace=shop", true),
            ("", "spec.type=NodePort", false),
            ("app=web", "metadata.name=other", false),
        ];
        let services = by_path("", "v1", "services").expect("services are served");

        for (labels, fields, expected) in cases {
            let selector = Selector::parse(services, Some(labels), Some(fields)).expect("selector parses");
            assert_eq!(selector.matches(&object), expected, "{labels:?} {fields:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let services = by_path("", "v1", "services").expect("services are served");
        for (labels, fields) in [
            ("app in web", ""),
            ("app near (x)", ""),
            ("=x", ""),
            ("", "spec.color=x"),
            ("", "name"),
        ] {
            let refused = Selector::parse(services, Some(labels), Some(fields)).expect_err("must be refused");
            assert_eq!(refused.code, 400, "{labels:?} {fields:?}");
        }
    }
}
