//! Fragments of datagrams through every door: in the library, under `BPF_PROG_TEST_RUN`, and with real sockets between
//! network namespaces. The latter two need root.

mod datagram;
mod host;
mod kernel;
mod netns;
