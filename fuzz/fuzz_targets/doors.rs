//! Arbitrary packets at every door, checked against a simple model: see `kproxy_tests::doors`.

#![no_main]

use kproxy_tests::doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = doors::play(bytes) {
        panic!("{error:#}");
    }
});
