//! The bridge's registry.

use iotcore_gateway_testkit::{
    AuthMethod, Registry,
    link::{self, GATEWAY},
};

/// The number of devices bound to the gateway: `device-0` to `device-999`.
pub(crate) const DEVICES: usize = 1_000;

/// A gateway whose devices are attached with tokens of their own; its key is that of [`GATEWAY`].
pub(crate) const METERING: &str = "gateway-2";

/// The devices of [`METERING`], with the same key.
pub(crate) const METERS: [&str; 10] = [
    "meter-0", "meter-1", "meter-2", "meter-3", "meter-4", "meter-5", "meter-6", "meter-7",
    "meter-8", "meter-9",
];

/// Devices like [`METERS`] that something is wrong with: see [`Tokens`](crate::tokens::Tokens) and the scenarios.
pub(crate) const BAD: [&str; 6] = [IGNORED, POISONOUS, BLOCKED, FAILING, HANGING, FORGETTING];
pub(crate) const IGNORED: &str = "bad-ignored";
pub(crate) const POISONOUS: &str = "bad-poisonous";
pub(crate) const BLOCKED: &str = "bad-blocked";
/// Its token source always fails.
pub(crate) const FAILING: &str = "bad-failing";
/// Its token source never answers.
pub(crate) const HANGING: &str = "bad-hanging";
/// Its token source answers once.
pub(crate) const FORGETTING: &str = "bad-forgetting";

const KEY: &str = include_str!("../../src/link/gateway.pub.pem");

/// Returns the bridge's registry.
pub(crate) fn registry() -> Registry {
    let mut registry = link::registry(AuthMethod::AssociationOnly);
    for n in 0..DEVICES {
        let id = format!("device-{n}");
        registry.add_device(&id, &[]).expect("a legal id");
        registry.bind(GATEWAY, &id).expect("both exist");
    }
    registry
        .add_gateway(METERING, &[KEY], AuthMethod::DeviceAuthTokenOnly)
        .expect("a legal id");
    for id in METERS.iter().chain(&BAD) {
        registry.add_device(id, &[KEY]).expect("a legal id");
    }
    registry
}
