//! Service accounts: they may do what a cluster role bound to them says, and nothing else.

use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kproxy_tests::apiserver::{ApiServer, Permission};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::support::{refusal, service, services, slices, start, start_in_process};

/// How long a real server may take to notice a role or a deletion.
const PATIENCE: Duration = Duration::from_secs(30);

async fn create<T>(api: &Api<T>, object: Value)
where
    T: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object)
        .await
        .expect("created");
}

fn accounts(client: &Client) -> Api<ServiceAccount> {
    Api::namespaced(client.clone(), "kube-public")
}

/// A new account and a client with a token of it.
async fn account(server: &ApiServer, administrator: &Client) -> Client {
    let accounts = accounts(administrator);
    create(&accounts, json!({"metadata": {"name": "reader"}})).await;
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": []}})).expect("a request");
    let answer = accounts
        .create_token_request("reader", &PostParams::default(), &request)
        .await
        .expect("a token");
    server
        .client_with_token(&answer.status.expect("a token").token)
        .expect("a client")
}

/// Lets it list services everywhere.
async fn permit(administrator: &Client) {
    let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list"]});
    let role = json!({"metadata": {"name": "reader"}, "rules": [services]});
    create::<ClusterRole>(&Api::all(administrator.clone()), role).await;
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "kube-public"}],
    });
    create::<ClusterRoleBinding>(&Api::all(administrator.clone()), binding).await;
}

/// Asks until the answer is no error, or the error has this code.
async fn until(client: &Client, code: Option<u16>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = services(client).list(&ListParams::default()).await;
        match (listed, code) {
            (Ok(_), None) => return,
            (Err(kube::Error::Api(status)), Some(code)) if status.code == code => return,
            (listed, _) => assert!(Instant::now() < deadline, "not {code:?}: {listed:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_account_may_do_what_its_role_says_and_nothing_else() {
    let (server, administrator) = start().await;
    let reader = account(&server, &administrator).await;

    let (code, message) = refusal(services(&reader).list(&ListParams::default()).await);
    assert_eq!(code, 403, "{message}");
    assert_eq!(
        message,
        "services is forbidden: User \"system:serviceaccount:kube-public:reader\" cannot list resource \
         \"services\" in API group \"\" in the namespace \"kube-public\""
    );

    permit(&administrator).await;
    until(&reader, None).await;
    let others = [
        refusal(
            services(&reader)
                .create(&PostParams::default(), &service("web"))
                .await,
        ),
        refusal(services(&reader).get("web").await),
        refusal(slices(&reader).list(&ListParams::default()).await),
        refusal(accounts(&reader).list(&ListParams::default()).await),
    ];
    for (code, message) in others {
        assert_eq!(code, 403, "{message}");
    }
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let (server, administrator) = start().await;
    let reader = account(&server, &administrator).await;
    permit(&administrator).await;
    until(&reader, None).await;

    accounts(&administrator)
        .delete("reader", &DeleteParams::default())
        .await
        .expect("deleted");

    until(&reader, Some(401)).await;
}

#[tokio::test]
async fn what_an_account_does_is_recorded() {
    let (server, administrator) = start_in_process();
    let reader = account(&server, &administrator).await;
    permit(&administrator).await;
    until(&reader, None).await;
    refusal(slices(&reader).list(&ListParams::default()).await);

    let uses = server.uses("system:serviceaccount:kube-public:reader");

    let [group, resource, verb] = ["", "services", "list"].map(str::to_owned);
    let expected = Permission {
        group,
        resource,
        verb,
    };
    assert_eq!(uses.expect("a record"), [expected].into());
}
