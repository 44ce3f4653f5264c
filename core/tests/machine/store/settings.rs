//! The options of the store, and what is counted and printed.

use std::time::Duration;

use iotcore_gateway::{
    ClientId, Gateway, Options,
    options::{Durability, OnStoreFailure, OptionsError},
    store::{StoreFailureKind, StoreSeq},
};

use super::{super::peer::seconds, Kit, failure, lingering};

fn check(options: Options) -> Result<(), OptionsError> {
    let id = ClientId::new(
        "my-project".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "my-registry".try_into().unwrap(),
        "gw-1".try_into().unwrap(),
    );
    Gateway::new(id, options, 7).map(|_| ())
}

#[test]
fn by_default_nothing_is_stored() {
    let durability = Options::default().durability;
    let expected = Durability {
        linger: None,
        max_bytes: 64 * 1024 * 1024,
        on_failure: OnStoreFailure::Refuse,
    };
    assert_eq!(durability, expected);
}

#[test]
fn a_linger_of_more_than_a_week_is_refused() {
    let week = seconds(7 * 24 * 3_600);
    check(lingering(week)).unwrap();
    let error = check(lingering(week + Duration::from_nanos(1))).unwrap_err();
    assert!(error.to_string().contains("durability.linger"), "{error}");
}

#[test]
fn a_store_that_has_no_room_for_the_largest_publication_is_refused() {
    let mut options = lingering(Duration::ZERO);
    options.quota.max_telemetry_bytes = 100;
    options.quota.max_state_bytes = 200;
    let least = 200 + 320 + 1_024 + 64;
    options.durability.max_bytes = least;
    check(options.clone()).unwrap();
    options.durability.max_bytes = least - 1;
    let error = check(options.clone()).unwrap_err();
    assert!(
        error.to_string().contains("durability.max_bytes"),
        "{error}"
    );
    options.durability.linger = None;
    check(options).unwrap();
}

#[test]
fn the_counters_tell_what_is_stored_and_what_is_reserved() {
    let mut kit = Kit::offline();
    let ops = ["1", "22"].map(|payload| kit.publish_own(payload));
    let stats = |kit: &Kit| {
        let stats = kit.gateway.stats();
        (stats.stored, stats.stored_bytes)
    };
    assert_eq!(stats(&kit), (0, 643));
    kit.ops();
    assert_eq!(stats(&kit), (0, 643));
    kit.commit();
    assert_eq!(stats(&kit), (1, 643));
    kit.save();
    assert_eq!(stats(&kit), (2, 643));
    kit.cancel(ops[0]);
    assert_eq!(stats(&kit), (1, 322));
    let now = kit.now;
    kit.gateway.close(now);
    kit.save();
    assert_eq!(stats(&kit), (1, 322), "it stays in the store");
}

#[test]
fn a_failure_says_what_to_do_and_what_the_system_said() {
    for (kind, advice) in [
        (StoreFailureKind::Full, "free some"),
        (StoreFailureKind::ReadOnly, "permissions"),
        (StoreFailureKind::Exhausted, "allow more"),
        (StoreFailureKind::Unreachable, "mounted"),
        (StoreFailureKind::Broken, "check the disk"),
    ] {
        let text = failure(kind).to_string();
        assert!(text.contains(advice), "{text}");
        assert!(text.contains("as the test says"), "{text}");
    }
}

#[test]
fn numbers_count_from_one() {
    assert_eq!(StoreSeq::FIRST.as_u64(), 1);
    assert_eq!(StoreSeq::FIRST.next().as_u64(), 2);
    assert_eq!(StoreSeq::FIRST.next().to_string(), "2");
}
