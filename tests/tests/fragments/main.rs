//! Fragments of datagrams through every door: in the library, under `BPF_PROG_TEST_RUN`, and with real sockets between
//! network namespaces. The latter two need root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod datagram;
mod host;
mod kernel;
mod netns;
