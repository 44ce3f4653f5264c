//! The driver on smol, over real sockets on loopback: the tests for every adapter.
#![forbid(unsafe_code)]

#[cfg(feature = "jwt")]
#[path = "../../tests/adapters/bridge.rs"]
mod bridge;
#[cfg(all(feature = "jwt", target_os = "linux"))]
#[path = "../../tests/adapters/proxies.rs"]
mod proxies;
#[cfg(all(feature = "jwt", target_os = "linux"))]
#[path = "../../tests/adapters/store.rs"]
mod store;
#[path = "../../tests/adapters/tls.rs"]
mod tls;
#[cfg(target_os = "linux")]
#[path = "../../tests/adapters/unsent.rs"]
mod unsent;

mod runtime {
    pub(crate) use iotcore_gateway_smol as adapter;
    pub(crate) use smol::{future::yield_now, spawn};

    pub(crate) fn run(test: impl AsyncFn()) {
        smol::block_on(test());
    }
}
