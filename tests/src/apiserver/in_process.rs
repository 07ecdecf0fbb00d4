//! The in-repo server as a running thing: its own runtime, so that it answers while a test blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::authorization::{Permission, Record};
use super::faults::{Faults, Plan};
use super::identity::Tokens;
use super::kubeconfig::Access;
use super::listen::Listening;
use super::object;
use super::server::{Server, router};
use super::store::Store;
use super::tls::Certificates;
use super::{Options, seed};

/// A server in this process.
#[derive(Debug)]
pub(super) struct InProcess {
    server: Arc<Server>,
    faults: Faults,
    listening: Arc<Listening>,
    /// Always there until drop, which takes it.
    runtime: Option<Runtime>,
}

impl InProcess {
    pub(super) fn start(options: &Options) -> anyhow::Result<(Self, Access)> {
        let Options {
            address,
            history,
            bookmarks_every,
        } = *options;
        let certificates = Certificates::new(address.ip())?;
        let token = object::uid();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("apiserver")
            .enable_all()
            .build()
            .context("start a runtime for the API server")?;
        let (store, plan) = (Arc::new(Store::new(history)), Plan::new());
        let server = Arc::new(Server {
            store: Arc::clone(&store),
            plan: Arc::clone(&plan),
            tokens: Tokens::new(token.clone()),
            record: Record::default(),
            bookmarks_every,
        });
        let listening = Listening::open(
            address,
            runtime.handle().clone(),
            certificates.acceptor()?,
            |address| {
                store.with(|contents| seed::fill(contents, address));
                router(Arc::clone(&server))
            },
        )?;
        let listening = Arc::new(listening);
        let access = Access {
            address: listening.address(),
            authority_pem: certificates.authority_pem,
            authority: certificates.authority,
            token,
        };
        let faults = Faults::new(plan, Arc::clone(&store), Arc::clone(&listening));
        Ok((
            Self {
                server,
                faults,
                listening,
                runtime: Some(runtime),
            },
            access,
        ))
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(super) fn uses(&self, user: &str) -> BTreeSet<Permission> {
        self.server.record.of(user)
    }

    pub(super) fn insert_unchecked(&self, object: Value) -> anyhow::Result<()> {
        let kind = format!("{} {}", object["apiVersion"], object["kind"]);
        let inserted = self.server.store.with(|contents| seed::insert(contents, object));
        inserted.with_context(|| format!("the API server for tests does not serve {kind}"))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.listening.stop();
        // A runtime must not be waited for inside another one, where tests drop us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
