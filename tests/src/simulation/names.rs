//! The names and addresses of a simulation's network.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::mem;

use super::network::Dials;
use super::{Network, SimRuntime};

/// What names resolve to, and what is at the addresses.
pub(super) struct Names {
    addresses: Vec<IpAddr>,
    dials: BTreeMap<IpAddr, Dials>,
    /// When which address was dialed.
    dialed: Vec<(Duration, IpAddr)>,
    pub(super) lookups: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            dials: BTreeMap::new(),
            dialed: Vec::new(),
            lookups: 0,
        }
    }
}

impl Names {
    pub(super) fn resolve(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let literal = host.parse().map(|address| vec![address]);
        let addresses = literal.unwrap_or_else(|_| self.addresses.clone());
        let addresses = addresses.into_iter();
        addresses
            .map(|address| SocketAddr::new(address, port))
            .collect()
    }

    /// Records a dial and returns its result.
    pub(super) fn dial(&mut self, at: Duration, address: IpAddr, network: &Network) -> Dials {
        self.dialed.push((at, address));
        self.dials.get(&address).copied().unwrap_or(network.dials)
    }
}

impl SimRuntime {
    /// Sets the addresses that every name resolves to from now on (by default only 127.0.0.1). The same bridge is at all of
    /// them.
    pub fn set_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().collect();
        self.with_world(|world| world.names.addresses = addresses);
    }

    /// Sets the result of later dials to this address, instead of [`Network::dials`].
    pub fn set_dials(&self, address: IpAddr, dials: Dials) {
        self.with_world(|world| world.names.dials.insert(address, dials));
    }

    /// Returns which addresses were dialed since the last call, and when, in [elapsed](Self::elapsed) time.
    #[must_use]
    pub fn take_dials(&self) -> Vec<(Duration, IpAddr)> {
        self.with_world(|world| mem::take(&mut world.names.dialed))
    }

    /// Returns how many lookups of a name were begun.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.with_world(|world| world.names.lookups)
    }
}
