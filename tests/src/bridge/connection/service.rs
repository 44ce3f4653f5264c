//! Packets that wait until the bridge has processed them.

use std::time::Instant;

use super::super::codec::Packet;
use super::super::event::EventKind;
use super::super::service::{Admission, ServiceKind, ServiceState};
use super::super::world::World;
use super::{BridgeConnection, Handled, Phase};

impl BridgeConnection {
    /// Handles a packet that has arrived: at once, once the bridge has processed it, or never.
    pub(super) fn handle_arrival(
        &mut self,
        packet: Packet,
        world: &mut World,
        now: Instant,
    ) -> Handled {
        self.last_packet = now;
        world.service.traffic.count_arrival(&packet);
        let is_serving = matches!(self.phase, Phase::Serving(_));
        let Some(kind) = ServiceKind::of(&packet).filter(|_| is_serving) else {
            return self.handle_packet(packet, world, now);
        };
        let client = self.wire.client.as_deref();
        let admission = world
            .service
            .admit(packet, kind, &mut self.backlog, client, now);
        match admission {
            Admission::Now(packet) => self.handle_packet(packet, world, now),
            Admission::Later => Ok(()),
            Admission::Never(packet, cause) => {
                let packet = describe(&packet);
                let client = self.wire.client.clone();
                let kind = EventKind::Unserved { packet, cause };
                world.log(Some(self.wire.id), client, kind);
                Ok(())
            }
        }
    }

    /// Completes the packet that is next.
    pub(crate) fn complete(&mut self, world: &mut World, now: Instant) {
        if let Some(packet) = world.service.pop(&mut self.backlog, now) {
            let handled = self.handle_packet(packet, world, now);
            if let Err(reason) = handled.and_then(|()| self.check_backlog()) {
                self.end(reason, world);
            }
        }
    }

    /// Plans what waits anew.
    pub(crate) fn plan_again(&mut self, service: &mut ServiceState, now: Instant) {
        service.plan_again(&mut self.backlog, now);
    }

    /// Returns when and after which other packets the next packet is completed.
    pub(crate) fn next_completion(
        &self,
        service: &ServiceState,
    ) -> Option<(Instant, Instant, u64)> {
        service.next(&self.backlog, self.client_name())
    }
}

/// Returns a packet's name in MQTT, and the topics in it.
fn describe(packet: &Packet) -> String {
    let topics = match packet {
        Packet::Publish(publish) => publish.topic.clone(),
        Packet::Subscribe { filters, .. } => {
            let filters: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
            filters.join(", ")
        }
        Packet::Unsubscribe { filters, .. } => filters.join(", "),
        _ => return packet.name().to_owned(),
    };
    format!("{} {}", packet.name(), topics.escape_debug())
}
