//! How many random cases a property is tried with, and which.

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// The same cases each time, unless `PROPTEST_RNG_SEED` asks for others: a test that fails must fail again.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config
}
