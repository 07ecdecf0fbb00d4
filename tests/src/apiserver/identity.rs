//! Who makes a request: the one place where a bearer token becomes a user.

use axum::http::{HeaderMap, header};

use super::status::Status;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
}

/// The tokens a server knows.
#[derive(Debug)]
pub(crate) struct Tokens {
    administrator: String,
}

impl Tokens {
    pub(crate) fn new(administrator: String) -> Self {
        Self { administrator }
    }

    /// The user behind a request's token.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<User, Status> {
        let header = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        if token == Some(&self.administrator) {
            return Ok(User {
                name: "kproxy-test-administrator".to_owned(),
            });
        }
        Err(Status::new(401, "Unauthorized", "Unauthorized"))
    }
}
