//! The loaded programs do what the library does, byte by byte (semantics 3.09). What goes by the machine's routes is not for here: tests
//! with namespaces of their own have that.

use anyhow::Context as _;
use aya::programs::{TestRun as _, TestRunOptions};
use kproxy::dataplane::Dataplane;
use kproxy::plan::Applied;
use kproxy_common::Door;
use kproxy_ebpf::Packet as _;
use kproxy_ebpf::verdict::Action;
use kproxy_tests::acceptance::kernel::place::Place;
use kproxy_tests::acceptance::kernel::programs::Programs;
use kproxy_tests::acceptance::row::Half;
use kproxy_tests::host::frame::{Tcp, Transport};
use kproxy_tests::host::{Buffer, MemoryTables};

use crate::errors::sent;
use crate::report::{ETHERNET, kinds, message};
use crate::scene::{Leg, Scene, Walk, address, pass, talk};

/// `TC_ACT_UNSPEC` and `TC_ACT_REDIRECT` (`include/uapi/linux/pkt_cls.h`).
const UNSPEC: u32 = u32::MAX;
const REDIRECT: u32 = 7;

struct Kernel {
    dataplane: Dataplane,
    programs: Programs,
    applied: Applied,
    // Last: removes what the others pinned.
    _place: Place,
}

impl Kernel {
    fn load() -> anyhow::Result<Self> {
        let place = Place::new()?;
        let (dataplane, _) = Dataplane::open(&place.options).context("this test needs root")?;
        Ok(Self {
            dataplane,
            programs: Programs::load(&place)?,
            applied: Applied::new(place.options.sizes.capacity()),
            _place: place,
        })
    }

    fn play(&mut self, scene: &Scene) -> anyhow::Result<()> {
        for plan in scene.plans(&mut self.applied) {
            self.dataplane.apply(&plan)?;
        }
        self.programs.evict(Half::Both)
    }

    /// What the program of a door answers, and the packet after it.
    fn run(&self, door: Door, bytes: &[u8]) -> anyhow::Result<(u32, Vec<u8>)> {
        let mut out = vec![0; 4096];
        let result = self.programs.named(door.name())?.test_run(TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            repeat: 1,
            ..TestRunOptions::default()
        })?;
        out.truncate(usize::try_from(result.data_size_out)?);
        Ok((result.return_value, out))
    }

    /// Both say the same, and here is what.
    fn agrees(&self, tables: &MemoryTables, door: Door, bytes: &[u8]) -> anyhow::Result<(Action, Vec<u8>)> {
        // The device of a test run has this address, and uplinks take what is for the machine only.
        let mut bytes = bytes.to_vec();
        bytes[..6].fill(0);
        let seen = self.run(door, &bytes)?;
        let (verdict, mut wanted) = pass(tables, door, bytes.clone());
        let answer = match verdict.action() {
            Action::Continue => UNSPEC,
            Action::TurnAround => {
                let mut packet = Buffer::new(wanted);
                packet.turn_around().context("a whole header")?;
                wanted = packet.bytes;
                REDIRECT
            }
            other @ (Action::Requeue | Action::Forward | Action::Refuse(_) | Action::Drop) => {
                anyhow::bail!("{other:?} at {door:?}")
            }
        };
        anyhow::ensure!(
            seen == (answer, wanted.clone()),
            "{door:?}: the kernel {seen:02x?}, the library {verdict:?} {wanted:02x?}"
        );
        Ok((verdict.action(), wanted))
    }
}

fn scenes() -> impl Iterator<Item = Scene> {
    let transports = [
        Transport::Tcp(Tcp::Syn),
        Transport::Udp,
        Transport::UdpWithoutChecksum,
        Transport::Sctp(Tcp::Syn),
    ];
    let walks = [Walk::Pod, Walk::Hairpin, Walk::Here];
    let cases = [false, true]
        .into_iter()
        .flat_map(move |v6| walks.map(|walk| transports.map(|transport| (v6, walk, transport))))
        .flatten();
    cases
        .filter(|(v6, _, transport)| !v6 || *transport != Transport::UdpWithoutChecksum)
        .enumerate()
        .map(|(number, (v6, walk, transport))| {
            let number = u16::try_from(number).unwrap_or(0) + 300;
            let [client, service, backend, node, router] =
                [1, 2, 3, 4, 5].map(|network| address(v6, network, number));
            let backend = if walk == Walk::Hairpin { client } else { backend };
            Scene {
                walk,
                client: (client, 40_000 + number).into(),
                service: (service, 80).into(),
                backend: (backend, 8080).into(),
                node,
                router,
                transport,
                payload: b"a payload of odd length".to_vec(),
            }
        })
}

#[test]
fn the_programs_translate_errors_as_the_library_does() -> anyhow::Result<()> {
    let mut kernel = Kernel::load()?;
    for scene in scenes() {
        kernel.play(&scene)?;
        let tables = scene.tables();
        let mut failed = Ok(());
        let legs = talk(&scene, |door, bytes| match kernel.agrees(&tables, door, &bytes) {
            Ok((action, _)) if action != scene.walk.action() => {
                failed = Err(anyhow::anyhow!("{action:?} at {door:?}"));
                bytes
            }
            Ok((_, bytes)) => bytes,
            Err(error) => {
                failed = Err(error);
                bytes
            }
        });
        failed.with_context(|| format!("{scene:?}"))?;
        for leg in &legs {
            agrees_about(&kernel, &scene, &tables, leg).with_context(|| format!("{scene:?}"))?;
        }
    }
    Ok(())
}

fn agrees_about(kernel: &Kernel, scene: &Scene, tables: &MemoryTables, leg: &Leg) -> anyhow::Result<()> {
    let whole = leg.after.len() - ETHERNET;
    let (network, least) = if scene.is_v6() { (40, 48) } else { (20, 28) };
    for kind in kinds(scene.is_v6()) {
        for length in [least, least + 9, least + 10, whole] {
            let error = sent(scene, leg, kind, length.min(whole));
            let (action, seen) = kernel.agrees(tables, leg.errors, &error)?;
            assert_eq!(action, scene.walk.action(), "{kind:?}");
            assert_ne!(seen[ETHERNET..], error[ETHERNET..], "it is translated");
            // Of nobody's packet: another port.
            let mut forged = error;
            forged[ETHERNET + network + 8 + network + 1] ^= 1;
            let (action, untouched) = kernel.agrees(tables, leg.errors, &forged)?;
            assert_eq!(action, Action::Continue, "{kind:?}");
            assert_eq!(untouched[ETHERNET..], forged[ETHERNET..]);
        }
    }
    Ok(())
}

#[test]
fn the_programs_answer_echo_requests_as_the_library_does() -> anyhow::Result<()> {
    let mut kernel = Kernel::load()?;
    for scene in scenes() {
        kernel.play(&scene)?;
        let tables = scene.tables();
        let (kind, rest) = (if scene.is_v6() { 128 } else { 8 }, [1, 2, 3, 4]);
        for to in [scene.service.ip(), scene.node, scene.backend.ip()] {
            for length in [0, 1, 56, 1472] {
                let payload = vec![0x77; length];
                let asked = message(scene.router, to, (kind, 0, rest), &payload);
                for door in [Door::PodIngress, Door::UplinkIngress] {
                    let (action, _) = kernel.agrees(&tables, door, &asked)?;
                    let is_answered = action == Action::TurnAround;
                    assert_eq!(is_answered, to == scene.service.ip(), "{to} at {door:?}");
                }
            }
        }
    }
    Ok(())
}
