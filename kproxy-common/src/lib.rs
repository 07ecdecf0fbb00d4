//! Types that live in kproxy's BPF maps, described once for the kernel side and the agent.
//!
//! * [`address`]: addresses, ports and protocols in network byte order
//! * [`frontend`]: service addresses and the backend runs behind them
//! * [`backend`]: one record per endpoint of a service port
//! * [`gate`]: which addresses and ports need not be looked up at all
//! * [`maglev`]: which slot a client's hash means
//! * [`affinity`]: which backend a client was given last
//! * [`range`]: who may ask a service, and where ClusterIPs come from
//! * [`flow`]: translated connections, keyed by the tuple as seen on the wire
//! * [`answering`]: who may answer them, and who asks by packet
//! * [`fragment`]: what became of the first fragments of datagrams
//! * [`socket`]: what the socket door remembers about a socket
//! * [`spare`]: source ports that nobody else on the node uses
//! * [`snat`]: how source ports towards a destination are found
//! * [`device`]: what is known about network devices
//! * [`counter`]: every outcome at every door
//! * [`name`]: names of services, for people
//! * [`check`]: how a value names its key
//! * [`settings`]: constants the agent fixes when it loads the programs
//! * [`maps`]: map names, sizes and the layout version of the pins
//!
//! Nothing here touches a packet or a map; the crate only says what the bytes mean. Every struct is `repr(C)` and
//! [`bytemuck::Pod`] with explicit padding, and its size is asserted beside its definition.

#![no_std]
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "wire formats are cut from wider words on purpose, and `TryFrom` would add panics to the kernel side"
)]

pub mod address;
pub mod affinity;
pub mod answering;
pub mod backend;
pub mod check;
pub mod counter;
pub mod device;
pub mod flow;
pub mod fragment;
pub mod frontend;
pub mod gate;
pub mod maglev;
pub mod maps;
pub mod name;
pub mod range;
pub mod settings;
pub mod snat;
pub mod socket;
pub mod spare;

pub use address::{Address, Family, Port, Protocol};
pub use affinity::{Affinity, AffinityKey};
pub use answering::{Answering, Asking};
pub use backend::{Backend, BackendFlags, BackendIndex, Epoch, Generation};
pub use counter::{Counter, Door};
pub use device::{Device, DeviceFlags, DeviceIndex, Vlan};
pub use flow::{Applies, Flow, FlowState, Tuple};
pub use fragment::{Fate, Fragment, FragmentKey};
pub use frontend::{AddressRole, Frontend, FrontendFlags, FrontendKey, ServiceId, SlotRun};
pub use name::ServiceName;
pub use range::{AddressRange, RangeSetId, SourceRange};
pub use settings::{Nanoseconds, Settings};
pub use snat::{PortSearch, SnatKey};
pub use socket::{SocketFlow, SocketFlowKey, SocketPeer, StalePeer};
pub use spare::SparePorts;
