//! Whatever has happened, only what is there now counts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Something that happens to a cluster of a few objects that get in each other's way.
#[derive(Clone, Debug)]
enum Step {
    Service(usize, ServiceDraft),
    NoService(usize),
    Slice(usize, SliceDraft),
    NoSlice(usize),
    Zone(usize),
    Primary(usize),
    /// Everything is listed again, without the objects of these numbers: they have vanished meanwhile.
    Relist(usize, usize),
    Take,
}

#[derive(Clone, Debug)]
struct ServiceDraft {
    created: i64,
    address: usize,
    external: usize,
    load_balancer: usize,
    node_port: usize,
    restricted: bool,
    local: (bool, bool),
    kind: usize,
}

#[derive(Clone, Debug)]
struct SliceDraft {
    owner: usize,
    endpoints: Vec<(usize, usize)>,
    kind: usize,
}

const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
const SLICES: [&str; 4] = ["s", "t", "u", "v"];
const ZONES: [&str; 3] = ["", "x", "y"];
const PRIMARIES: [&str; 3] = ["10.0.0.250", "10.9.0.1", "127.0.0.1"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let service = (1..4_i64, 0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    let service = (service, any::<bool>(), any::<(bool, bool)>(), 0..6_usize).prop_map(
        |((created, address, external, load_balancer, node_port), restricted, local, kind)| ServiceDraft {
            created,
            address,
            external,
            load_balancer,
            node_port,
            restricted,
            local,
            kind,
        },
    );
    let endpoints = prop::collection::vec((0..4_usize, 0..6_usize), 0..4);
    let slice = (0..4_usize, endpoints, 0..6_usize).prop_map(|(owner, endpoints, kind)| SliceDraft {
        owner,
        endpoints,
        kind,
    });
    let step = prop_oneof![
        6 => (0..4_usize, service).prop_map(|(which, draft)| Step::Service(which, draft)),
        2 => (0..4_usize).prop_map(Step::NoService),
        6 => (0..4_usize, slice).prop_map(|(which, draft)| Step::Slice(which, draft)),
        2 => (0..4_usize).prop_map(Step::NoSlice),
        1 => (0..3_usize).prop_map(Step::Zone),
        1 => (0..3_usize).prop_map(Step::Primary),
        1 => (0..4_usize, 0..4_usize).prop_map(|(service, slice)| Step::Relist(service, slice)),
        3 => Just(Step::Take),
    ];
    prop::collection::vec(step, 1..40)
}

fn service_fields(draft: &ServiceDraft) -> Value {
    let ServiceDraft {
        created,
        address,
        external,
        load_balancer,
        node_port,
        restricted,
        local: (internal, outside),
        kind,
    } = draft;
    let policy = |local: &bool| if *local { "Local" } else { "Cluster" };
    let list = |number: &usize| -> Value {
        ["192.0.2.1", "192.0.2.2"]
            .get(*number)
            .into_iter()
            .copied()
            .collect()
    };
    let ingress: Value = list(load_balancer)
        .as_array()
        .unwrap()
        .iter()
        .map(|ip| json!({ "ip": ip }))
        .collect();
    let label = if *kind == 0 {
        json!({"service.kubernetes.io/service-proxy-name": "other"})
    } else {
        json!({})
    };
    json!({
        "metadata": {"creationTimestamp": age(*created), "labels": label},
        "spec": {
            "type": if *kind == 1 { "ExternalName" } else { "LoadBalancer" },
            "clusterIPs": [format!("10.96.0.{address}"), format!("fd00::{address}")],
            "ipFamilies": if *kind == 2 { json!(["IPv4"]) } else { json!(["IPv4", "IPv6"]) },
            "ports": [{"name": if *kind == 3 { "b" } else { "a" }, "port": 80, "nodePort": node_port * 30000}],
            "externalIPs": list(external),
            "sessionAffinity": if *kind == 4 { "ClientIP" } else { "None" },
            "internalTrafficPolicy": policy(internal),
            "externalTrafficPolicy": policy(outside),
            "healthCheckNodePort": 32000,
            "loadBalancerSourceRanges": if *restricted { json!(["10.0.0.0/8"]) } else { json!([]) },
        },
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

fn slice_fields(name: &str, draft: &SliceDraft) -> Value {
    let SliceDraft {
        owner,
        endpoints,
        kind,
    } = draft;
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(byte, state)| {
            json!({
                "addresses": [format!("10.0.0.{byte}")],
                "nodeName": if *byte % 2 == 0 { "here" } else { "there" },
                "conditions": {"ready": state % 2 == 0, "serving": state % 3 != 1, "terminating": state % 3 == 0},
                "hints": if *kind == 1 { json!({"forZones": [{"name": if byte % 2 == 0 { "x" } else { "y" }}]}) } else { json!(null) },
            })
        })
        .collect();
    let mut labels = json!({"kubernetes.io/service-name": SERVICES[*owner]});
    if *kind == 0 {
        labels["service.kubernetes.io/headless"] = "".into();
    }
    json!({
        "metadata": {"name": name, "labels": labels},
        "ports": [{"name": if *kind == 2 { "b" } else { "a" }, "port": 8080}],
        "endpoints": endpoints,
    })
}

/// What there is.
#[derive(Clone, Debug, Default)]
struct Objects {
    services: BTreeMap<usize, ServiceDraft>,
    slices: BTreeMap<usize, SliceDraft>,
    zone: usize,
    primary: usize,
}

impl Objects {
    fn put_services(&self, index: &mut Index) {
        for (which, draft) in &self.services {
            put_object(index, SERVICES[*which], service_fields(draft));
        }
    }

    fn put_slices(&self, index: &mut Index) {
        for (which, draft) in &self.slices {
            put_slice(index, slice_fields(SLICES[*which], draft));
        }
    }

    /// An index that has seen nothing else.
    fn index(&self) -> Index {
        let mut index = synced();
        put_place(&mut index, self);
        self.put_slices(&mut index);
        self.put_services(&mut index);
        index
    }
}

fn put_place(index: &mut Index, objects: &Objects) {
    let labels = json!({"topology.kubernetes.io/zone": ZONES[objects.zone]});
    let node = samples::node(json!({"metadata": {"labels": labels}}));
    let name = ObjectName::new("", "here");
    let parsed = Parsed {
        name,
        object: Some(node),
        problems: vec![],
    };
    index.apply(Event::now(News::Node(Change::Applied(parsed))));
    let address = crate::model::parse_address(PRIMARIES[objects.primary]).unwrap();
    index.set_primary([(Family::V4, address)].into());
}

fn run(index: &mut Index, objects: &mut Objects, step: Step) {
    match step {
        Step::Service(which, draft) => {
            put_object(index, SERVICES[which], service_fields(&draft));
            objects.services.insert(which, draft);
        }
        Step::NoService(which) => {
            remove_service(index, SERVICES[which]);
            objects.services.remove(&which);
        }
        Step::Slice(which, draft) => {
            put_slice(index, slice_fields(SLICES[which], &draft));
            objects.slices.insert(which, draft);
        }
        Step::NoSlice(which) => {
            remove_slice(index, SLICES[which]);
            objects.slices.remove(&which);
        }
        Step::Zone(zone) => {
            objects.zone = zone;
            put_place(index, objects);
        }
        Step::Primary(primary) => {
            objects.primary = primary;
            put_place(index, objects);
        }
        Step::Relist(service, slice) => {
            objects.services.remove(&service);
            objects.slices.remove(&slice);
            for kind in [Kind::EndpointSlice, Kind::Service] {
                index.apply(Event::now(News::Listing(kind)));
            }
            objects.put_slices(index);
            objects.put_services(index);
            for kind in [Kind::EndpointSlice, Kind::Service] {
                index.apply(Event::now(News::Listed(kind)));
            }
        }
        Step::Take => {}
    }
}

type Wanted = BTreeMap<ServicePortName, WantedService>;

fn take(index: &mut Index, wanted: &mut Wanted) {
    for (name, change) in index.take_changes() {
        match change {
            Some(service) => {
                let before = wanted.insert(name, service.clone());
                assert_ne!(before, Some(service), "1.27 a change that is none");
            }
            None => assert!(wanted.remove(&name).is_some(), "{name} was never given"),
        }
    }
}

fn told(index: &Index) -> BTreeSet<String> {
    index.reports.current().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn only_the_present_counts(steps in steps()) {
        let (mut index, mut objects) = (synced(), Objects::default());
        put_place(&mut index, &objects);
        let mut wanted = Wanted::new();
        for step in steps {
            let takes = matches!(step, Step::Take);
            run(&mut index, &mut objects, step);
            if takes {
                take(&mut index, &mut wanted);
            }
        }
        take(&mut index, &mut wanted);
        let mut fresh = objects.index();
        let mut expected = Wanted::new();
        take(&mut fresh, &mut expected);
        prop_assert_eq!(&wanted, &expected);
        prop_assert_eq!(index.health_checks(), fresh.health_checks());
        prop_assert_eq!(told(&index), told(&fresh));
        let mut frontends = BTreeSet::new();
        for key in wanted.values().flat_map(|service| service.frontends.keys()) {
            prop_assert!(frontends.insert(*key), "two services on {key:?}");
        }
    }
}
