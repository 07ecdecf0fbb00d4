//! The other end of cables that XDP sends by.

use kproxy::dataplane::Dataplane;
use kproxy_tests::acceptance::kernel::place::Place;
use kproxy_tests::acceptance::kernel::programs::Programs;
use kproxy_tests::cluster::Namespace;
use kproxy_tests::offloads;

/// XDP on each port of a switch. A veth wakes only an end up that has a program itself (`veth_xdp_flush`); these know no services
/// and let everything pass.
pub(crate) struct Passing {
    _programs: Programs,
    _dataplane: Dataplane,
    // Last: removes what the others pinned.
    _place: Place,
}

impl Passing {
    pub(crate) fn new(switch: &Namespace) -> anyhow::Result<Self> {
        let place = Place::new()?;
        let (dataplane, _) = Dataplane::open(&place.options)?;
        let mut programs = Programs::load_packets(&place)?;
        switch.run(|| {
            let devices = offloads::devices()?;
            let ports = devices.iter().filter(|name| name.starts_with("port"));
            ports.into_iter().try_for_each(|port| programs.attach_early(port))
        })??;
        Ok(Self {
            _programs: programs,
            _dataplane: dataplane,
            _place: place,
        })
    }
}
