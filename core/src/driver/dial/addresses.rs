//! The order in which the addresses of the host are tried.

use core::net::SocketAddr;

/// Maximum of addresses tried in an attempt.
const MAX_TRIED: usize = 32;

/// Maximum of addresses remembered as failed: more than a host has, so that all of them are tried in turn.
const MAX_FAILED: usize = 1_024;

/// The addresses that have failed and not worked since, the last one at the end.
#[derive(Default)]
pub(crate) struct Addresses {
    failed: Vec<Candidate>,
}

/// An address to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    /// Whether it failed only after it had accepted the TCP connection. In a race it might win, and fail again.
    pub(crate) accepts_and_fails: bool,
}

impl Addresses {
    /// Returns the addresses in the order to try them in: the families alternate, beginning with that of the first
    /// (RFC 8305, 4), then come those that have failed, the last one at the end, and behind them all those that accept and
    /// fail, for which the race waits longest.
    pub(crate) fn candidates(&self, resolved: &[SocketAddr]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for address in interleave(resolved) {
            if candidates.iter().all(|known| known.address != address) {
                candidates.push(Candidate {
                    address,
                    accepts_and_fails: self
                        .failed
                        .iter()
                        .any(|failed| failed.address == address && failed.accepts_and_fails),
                });
            }
        }
        candidates.sort_by_key(|candidate| {
            (
                candidate.accepts_and_fails,
                self.place_of(candidate.address),
            )
        });
        candidates.truncate(MAX_TRIED);
        candidates
    }

    /// Records that this address has failed, after it had accepted the TCP connection or before.
    pub(crate) fn add_failed(&mut self, address: SocketAddr, accepts_and_fails: bool) {
        self.forget(address);
        if self.failed.len() >= MAX_FAILED {
            self.failed.remove(0);
        }
        self.failed.push(Candidate {
            address,
            accepts_and_fails,
        });
    }

    /// Records that this address works.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.failed.retain(|failed| failed.address != address);
    }

    /// Returns the place of an address among those that have failed; `None`, which is less, if it has not.
    fn place_of(&self, address: SocketAddr) -> Option<usize> {
        self.failed
            .iter()
            .position(|failed| failed.address == address)
    }
}

/// Returns the addresses with their families in turns, beginning with the family of the first.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == is_first_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut interleaved = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return interleaved;
        }
        interleaved.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Vec<SocketAddr> {
        let addresses = list.split_whitespace().map(|address| {
            let address = address.parse().unwrap();
            SocketAddr::new(address, 8_883)
        });
        addresses.collect()
    }

    fn order(addresses: &Addresses, resolved: &[SocketAddr]) -> Vec<SocketAddr> {
        let candidates = addresses.candidates(resolved).into_iter();
        candidates.map(|candidate| candidate.address).collect()
    }

    #[test]
    fn families_alternate_beginning_with_that_of_the_first() {
        for (resolved, expected) in [
            ("::1 ::2 ::3 1.0.0.1 1.0.0.2", "::1 1.0.0.1 ::2 1.0.0.2 ::3"),
            ("1.0.0.1 1.0.0.2 1.0.0.3 ::1", "1.0.0.1 ::1 1.0.0.2 1.0.0.3"),
            ("::1 ::2", "::1 ::2"),
            ("1.0.0.1 1.0.0.1 ::1", "1.0.0.1 ::1"),
            ("", ""),
        ] {
            let order = order(&Addresses::default(), &addresses(resolved));
            assert_eq!(order, addresses(expected), "{resolved}");
        }
    }

    #[test]
    fn those_that_failed_go_last_in_the_order_of_their_failures_until_they_work() {
        let resolved = addresses("1.0.0.1 1.0.0.2 1.0.0.3");
        let [first, second, _] = resolved[..] else {
            panic!("three");
        };
        let mut known = Addresses::default();
        known.add_failed(first, false);
        known.add_failed(second, false);
        assert_eq!(
            order(&known, &resolved),
            addresses("1.0.0.3 1.0.0.1 1.0.0.2")
        );
        known.add_failed(first, false);
        assert_eq!(
            order(&known, &resolved),
            addresses("1.0.0.3 1.0.0.2 1.0.0.1")
        );
        known.forget(second);
        assert_eq!(
            order(&known, &resolved),
            addresses("1.0.0.2 1.0.0.3 1.0.0.1")
        );
        known.add_failed(second, true);
        known.add_failed(first, false);
        assert_eq!(
            order(&known, &resolved),
            addresses("1.0.0.3 1.0.0.1 1.0.0.2"),
            "one that accepts and fails holds up no other"
        );
    }

    #[test]
    fn thirty_two_addresses_are_tried_at_a_time_and_1024_remembered() {
        let many: Vec<_> = (1..=2_000)
            .map(|port| SocketAddr::from(([10, 0, 0, 1], port)))
            .collect();
        let mut known = Addresses::default();
        for tried in many[..1_024].chunks(32) {
            assert_eq!(order(&known, &many), tried);
            for address in tried {
                known.add_failed(*address, false);
            }
        }
        assert_eq!(order(&known, &many), &many[1_024..1_056]);
        known.add_failed(many[1_024], false);
        assert_eq!(known.failed.len(), 1_024);
    }
}
