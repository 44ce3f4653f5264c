//! The faults of the network.

use super::run::Run;
use super::step::NetworkFault;
use crate::link::{Network, Side};

impl Run {
    pub(super) fn disturb(&mut self, fault: NetworkFault) {
        let network = self.link.network;
        match fault {
            NetworkFault::Latency(latency) => self.link.network = Network { latency, ..network },
            NetworkFault::Fragment(length) => {
                let fragment = usize::from(length);
                self.link.network = Network {
                    fragment,
                    ..network
                };
                return;
            }
            NetworkFault::Capacity(bytes) => {
                let capacity = usize::from(bytes);
                self.link.network = Network {
                    capacity,
                    ..network
                };
            }
            NetworkFault::Cut => return self.link.cut(),
            NetworkFault::CutAfter { side, bytes } => {
                return self.link.cut_after(side, usize::from(bytes));
            }
            NetworkFault::HalfOpen => {
                self.link.go_half_open();
            }
            NetworkFault::Flip { side, bytes, bit } => {
                self.model().deceive();
                self.link.flip_after(side, usize::from(bytes), bit);
            }
            NetworkFault::Stall(duration) => self.link.stall(duration),
            NetworkFault::Rate { to, bytes } => {
                let bytes = (bytes > 0).then_some(u32::from(bytes));
                let mut rate = network.rate;
                if to != Some(Side::Gateway) {
                    rate.to_bridge = bytes;
                }
                if to != Some(Side::Bridge) {
                    rate.to_gateway = bytes;
                }
                self.link.network = Network { rate, ..network };
                self.struck("slow link");
            }
            NetworkFault::FailDials { count, end } => {
                return self.link.fail_dials(u32::from(count), end);
            }
        }
        self.model().end_calm();
    }
}
