//! Arbitrary packets at every door against a simple model. Always the same ones: `cargo xtask fuzz` looks for
//! worse ones.

use kproxy_tests::doors;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_packet_becomes_what_it_must_not(bytes in vec(any::<u8>(), 0..2_000)) {
        if let Err(error) = doors::play(&bytes) {
            return Err(TestCaseError::fail(format!("{error:#}")));
        }
    }
}

/// What fuzzing has found.
#[test]
fn what_was_mended_stays_so() -> anyhow::Result<()> {
    doors::play(include_bytes!("found/later-fragment-of-many"))?;
    doors::play(include_bytes!("found/one-client-by-two-doors"))?;
    doors::play(include_bytes!("found/sctp-without-a-length"))?;
    doors::play(include_bytes!("found/mapped-source"))?;
    doors::play(include_bytes!("found/passing-mapped-source"))?;
    doors::play(include_bytes!("found/over-at-another-door"))?;
    doors::play(include_bytes!("found/fragment-after-a-refusal"))?;
    doors::play(include_bytes!("found/other-familys-icmp"))
}
