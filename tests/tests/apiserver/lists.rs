//! Many objects at once: selectors, pages, collections.

use kube::api::{DeleteParams, ListParams, PostParams};

use super::support::{refusal, service, services, slice, slices, start};

#[tokio::test]
async fn lists_select_by_label_and_field() {
    let (_server, client) = start().await;
    let services = services(&client);
    for name in ["api", "db", "web"] {
        services
            .create(&PostParams::default(), &service(name))
            .await
            .expect("created");
    }
    let labelled = |selector: &str| ListParams::default().labels(selector);
    let cases = [
        (ListParams::default(), vec!["api", "db", "web"]),
        (labelled("app in (web,db)"), vec!["db", "web"]),
        (labelled("app notin (web,db)"), vec!["api"]),
        (labelled("app!=web"), vec!["api", "db"]),
        (labelled("!app"), vec![]),
        (ListParams::default().fields("metadata.name=db"), vec!["db"]),
        (ListParams::default().fields("spec.type=NodePort"), vec![]),
    ];

    for (parameters, expected) in cases {
        let list = services.list(&parameters).await.expect("a list");
        let names: Vec<_> = list
            .items
            .into_iter()
            .filter_map(|service| service.metadata.name)
            .collect();
        assert_eq!(names, expected, "{parameters:?}");
    }
    let unknown = services
        .list(&ListParams::default().fields("spec.colour=red"))
        .await;
    assert_eq!(refusal(unknown).0, 400);
}

#[tokio::test]
async fn long_lists_come_in_pages_of_one_moment() {
    let (_server, client) = start().await;
    let services = services(&client);
    for name in ["a", "b", "c", "d", "e"] {
        services
            .create(&PostParams::default(), &service(name))
            .await
            .expect("created");
    }

    let first = services
        .list(&ListParams::default().limit(2))
        .await
        .expect("a page");
    services
        .delete("e", &DeleteParams::default())
        .await
        .expect("deleted");
    let token = first.metadata.continue_.clone().expect("more to come");
    let rest = services
        .list(&ListParams::default().continue_token(&token))
        .await
        .expect("the rest");

    assert_eq!(first.metadata.remaining_item_count, Some(3));
    let names: Vec<_> = rest
        .items
        .iter()
        .filter_map(|service| service.metadata.name.as_deref())
        .collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let (_server, client) = start().await;
    let slices = slices(&client);
    for name in ["api", "web"] {
        slices
            .create(&PostParams::default(), &slice(name, "10.1.0.4"))
            .await
            .expect("created");
    }

    let selected = ListParams::default().labels("kubernetes.io/service-name=web");
    slices
        .delete_collection(&DeleteParams::default(), &selected)
        .await
        .expect("deleted");

    let left = slices.list(&ListParams::default()).await.expect("a list");
    let names: Vec<_> = left
        .items
        .iter()
        .filter_map(|slice| slice.metadata.name.as_deref())
        .collect();
    assert_eq!(names, ["api"]);
}
