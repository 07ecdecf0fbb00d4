//! Who makes a request: the one place where a bearer token becomes a user.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::kinds;
use super::object::{self, Key, text};
use super::status::Status;
use super::store::Contents;

/// Its members may do everything, as in a real server.
pub(crate) const ADMINISTRATORS: &str = "system:masters";

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// The tokens a server knows.
#[derive(Debug)]
pub(crate) struct Tokens {
    administrator: String,
    /// Those given to service accounts. A lock: requests look while others are given theirs.
    given: Mutex<BTreeMap<String, Account>>,
}

/// A service account, as a token names it: another one of the same name does not inherit its tokens.
#[derive(Debug, Clone)]
struct Account {
    key: Key,
    uid: String,
}

impl Tokens {
    pub(crate) fn new(administrator: String) -> Self {
        Self {
            administrator,
            given: Mutex::default(),
        }
    }

    /// The user behind a request's token.
    pub(crate) fn identify(&self, headers: &HeaderMap, contents: &Contents) -> Result<User, Status> {
        let header = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|header| header.strip_prefix("Bearer "))
            .unwrap_or_default();
        if token == self.administrator {
            return Ok(User {
                name: "kproxy-test-administrator".to_owned(),
                groups: vec![ADMINISTRATORS.to_owned()],
            });
        }
        let account = self.given().get(token).cloned();
        account
            .filter(|Account { key, uid }| uid_of(contents, key) == Some(uid.as_str()))
            .map(|account| account.user())
            .ok_or_else(|| Status::new(401, "Unauthorized", "Unauthorized"))
    }

    /// A token for a service account: what `kubectl create token` asks for, and the kubelet for a pod.
    pub(crate) fn give(
        &self,
        contents: &Contents,
        namespace: &str,
        name: &str,
        mut request: TokenRequest,
    ) -> Result<TokenRequest, Status> {
        let kind = kinds::by_path("", "v1", "serviceaccounts").ok_or_else(super::request::path_not_found)?;
        let key = Key::new(kind, namespace, name);
        let uid = uid_of(contents, &key).ok_or_else(|| Status::not_found(kind, name))?;
        let account = Account {
            uid: uid.to_owned(),
            key,
        };
        let token = object::uid();
        self.given().insert(token.clone(), account);
        // Nothing looks at the time: a test is over before.
        let lifetime = SignedDuration::from_secs(request.spec.expiration_seconds.unwrap_or(3_600));
        let end = Timestamp::now().checked_add(lifetime).unwrap_or(Timestamp::MAX);
        request.status = Some(TokenRequestStatus {
            token,
            expiration_timestamp: Time(end),
        });
        Ok(request)
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.given
            .lock()
            .expect("nothing panics while it holds the tokens")
    }
}

impl Account {
    /// Names and groups as in `k8s.io/apiserver/pkg/authentication/serviceaccount`.
    fn user(&self) -> User {
        let Key { namespace, name, .. } = &self.key;
        User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
        }
    }
}

fn uid_of<'a>(contents: &'a Contents, account: &Key) -> Option<&'a str> {
    let found = contents.find(account)?;
    Some(text(&found.value, "/metadata/uid"))
}
