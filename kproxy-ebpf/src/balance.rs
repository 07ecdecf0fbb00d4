//! A frontend's choice among its backends, once per new flow: the one that the client had, or the one that its hash means,
//! or uniformly random.

use bytemuck::{Pod, Zeroable};
use kproxy_common::{
    Address, AddressRole, Backend, BackendFlags, BackendIndex, Counter, Door, Epoch, FrontendKey, Generation,
    Port, ServiceId, maglev,
};

use crate::lookup::{self, Found, Offer, Side};
use crate::tables::Tables;
use crate::{admission, affinity};

/// How often a choice is made anew, when the frontend was swapped between two looks at the maps.
const ATTEMPTS: usize = 3;

/// A client that begins a flow.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where the client is met.
    pub door: Door,
    /// What its destination's address is.
    pub role: AddressRole,
    /// Its destination.
    pub destination: &'a FrontendKey,
    /// Which side it is on.
    pub side: Side,
    /// Its address as Kubernetes means it, if it is known. Unspecified for a client that is known to have none.
    pub client: Option<&'a Address>,
    /// Its port, as far as that is known.
    pub port: Port,
}

/// A backend as it was chosen. Ordered so that no neighbours here are neighbours in a flow at another alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Chosen {
    /// Its address.
    pub address: Address,
    /// Its record's generation.
    pub generation: Generation,
    /// Its port.
    pub port: Port,
    /// State of its record.
    pub flags: BackendFlags,
    /// The service port it belongs to.
    pub service: ServiceId,
    /// Its record's epoch.
    pub epoch: Epoch,
    /// Its record.
    pub index: BackendIndex,
    /// Always 0.
    pub padding: u32,
}

impl Chosen {
    /// A backend and where its record stands.
    #[must_use]
    #[inline(always)]
    pub const fn new(index: BackendIndex, backend: &Backend) -> Self {
        Self {
            address: backend.address,
            generation: backend.generation,
            port: backend.port,
            flags: backend.flags,
            service: backend.service,
            epoch: backend.epoch,
            index,
            padding: 0,
        }
    }
}

/// What a frontend has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A backend, written to where the caller said.
    Backend,
    /// There is no frontend.
    NoFrontend,
    /// No backends: reject.
    Reject,
    /// Backends exist, but none that this client may use: drop.
    DropPolicy,
    /// The client is in none of the service's source ranges: drop.
    DropSource,
    /// It depends on the client's address, which is not known.
    UnknownClient,
}

/// Chooses a backend for a new flow.
#[inline(always)]
pub fn choose<T: Tables>(tables: &T, request: &Request<'_>, chosen: &mut Chosen) -> Choice {
    let mut offer = Offer::zeroed();
    for _ in 0..ATTEMPTS {
        match lookup::find(
            tables,
            request.role,
            request.destination,
            request.side,
            &mut offer,
        ) {
            Found::Frontend => {}
            Found::Nothing => return Choice::NoFrontend,
            Found::Raced => {
                tables.count(request.door, Counter::Raced);
                continue;
            }
        }
        if let Some(choice) = take(tables, request, &offer, chosen) {
            return choice;
        }
        tables.count(request.door, Counter::Raced);
    }
    Choice::Reject
}

/// What a client gets of an offer. `None` if the frontend was swapped meanwhile.
#[inline(always)]
fn take<T: Tables>(tables: &T, request: &Request<'_>, offer: &Offer, chosen: &mut Chosen) -> Option<Choice> {
    if offer.depends_on_client() {
        let Some(client) = request.client else {
            return Some(Choice::UnknownClient);
        };
        // Before everything else, also where there are no backends (semantics 3.46).
        if !admission::admits(tables, offer.ranges, client) {
            return Some(Choice::DropSource);
        }
    }
    if offer.run.count == 0 {
        return Some(if offer.drops != 0 {
            Choice::DropPolicy
        } else {
            Choice::Reject
        });
    }
    let client = request.client.filter(|_| offer.affinity_seconds != 0);
    match client {
        Some(client) if affinity::recall(tables, offer, client, chosen) => {
            tables.count(request.door, Counter::Affinity);
        }
        Some(_) | None => pick(tables, request, offer, chosen)?,
    }
    if let Some(client) = client {
        affinity::remember(tables, request.door, client, chosen);
    }
    Some(Choice::Backend)
}

/// Picks a slot of the run. `None` if the record there is not a living backend of this service: the run was freed
/// after the frontend had been read, and reading the frontend again finds the new run.
#[inline(always)]
fn pick<T: Tables>(tables: &T, request: &Request<'_>, offer: &Offer, chosen: &mut Chosen) -> Option<()> {
    let hash = match request.client {
        Some(client) if offer.hashed != 0 => hash(offer, client, request.port, request.destination),
        Some(_) | None => tables.random(),
    };
    let offset = maglev::place(hash, offer.run.count);
    let index = tables.slot(offer.run.base.wrapping_add(offset))?;
    let backend = tables.backend(index)?;
    if !backend.flags.contains(BackendFlags::ALIVE) || backend.service != offer.service {
        return None;
    }
    *chosen = Chosen::new(index, &backend);
    Some(())
}

/// What tells clients outside apart. Where a client is to stay with its backend, so that every node sends it there, its
/// address alone.
#[inline(never)]
fn hash(offer: &Offer, client: &Address, port: Port, destination: &FrontendKey) -> u32 {
    if offer.affinity_seconds == 0 {
        maglev::flow_hash(client, port, destination.port, destination.protocol)
    } else {
        maglev::client_hash(client)
    }
}
