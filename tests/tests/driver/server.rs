//! The bridge's side of a connection, implemented by the test.

use std::{cell::RefCell, io, time::Duration};

use iotcore_gateway_testkit::{
    packets::{self, Sent},
    simulation::{GatewayEnd, Peer},
};

use super::World;

/// The server's end of a connection.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    /// The start of an incomplete packet.
    rest: RefCell<Vec<u8>>,
}

impl Server {
    /// Accepts the transport that the driver has just opened.
    #[track_caller]
    pub(crate) fn accept(world: &World) -> Self {
        world.run_until_idle();
        Self::dialed(world).expect("no connection was made")
    }

    /// Accepts the transport that the driver has opened, if it has.
    pub(crate) fn dialed(world: &World) -> Option<Self> {
        Some(Self {
            peer: world.net.accept()?,
            rest: RefCell::default(),
        })
    }

    /// Advances time until the driver has dialed again, and accepts the connection.
    #[track_caller]
    pub(crate) fn accept_again(world: &World) -> Self {
        for _ in 0..60 {
            if let Some(server) = Self::dialed(world) {
                server.connack(world);
                return server;
            }
            world.pass(Duration::from_secs(1));
        }
        panic!("no connection was made for a minute");
    }

    fn connack(&self, world: &World) {
        assert!(matches!(self.received()[..], [Sent::Connect { .. }]));
        self.send(world, &packets::connack(0));
    }

    /// Accepts the connection, and grants the errors topic, which must be the only request.
    #[track_caller]
    pub(crate) fn open(world: &World) -> Self {
        let server = Self::accept(world);
        server.connack(world);
        match &server.received()[..] {
            [Sent::Subscribe { id, .. }] => server.suback(world, *id, 0),
            other => panic!("not the errors topic: {other:?}"),
        }
        server
    }

    /// Returns the state of the driver's end, once everything sent before was received.
    pub(crate) fn driver_end(&self) -> GatewayEnd {
        self.peer.gateway_end()
    }

    /// Returns the complete packets received since the last call.
    pub(crate) fn received(&self) -> Vec<Sent> {
        let mut bytes = self.rest.borrow_mut();
        bytes.extend(self.peer.receive());
        packets::take(&mut bytes)
    }

    /// Returns the payloads of the PUBLISHes received since the last call, with their packet identifiers.
    pub(crate) fn received_payloads(&self) -> Vec<(String, u16)> {
        let received = self.received().into_iter();
        let payloads = received.filter_map(|packet| match packet {
            Sent::Publish { payload, id, .. } => {
                Some((String::from_utf8(payload).unwrap(), id.unwrap_or_default()))
            }
            _ => None,
        });
        payloads.collect()
    }

    /// Returns the packet identifiers that were acknowledged since the last call.
    pub(crate) fn received_pubacks(&self) -> Vec<u16> {
        let received = self.received().into_iter();
        let ids = received.filter_map(|packet| match packet {
            Sent::PubAck(id) => Some(id),
            _ => None,
        });
        ids.collect()
    }

    pub(crate) fn send(&self, world: &World, bytes: &[u8]) {
        self.peer.send(bytes);
        world.run_until_idle();
    }

    pub(crate) fn puback(&self, world: &World, id: u16) {
        self.send(world, &packets::puback(id));
    }

    pub(crate) fn suback(&self, world: &World, id: u16, code: u8) {
        self.send(world, &packets::suback(id, code));
    }

    pub(crate) fn publish(&self, world: &World, topic: &str, payload: &str, id: u16) {
        let packet = packets::publish(topic, payload.as_bytes(), Some(id), false);
        self.send(world, &packet);
    }

    /// Acknowledges everything until nothing more arrives; returns what was received.
    pub(crate) fn serve(&self, world: &World) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            world.run_until_idle();
            let received = self.received();
            if received.is_empty() {
                return all;
            }
            for packet in &received {
                if let Some(answer) = packet.answer() {
                    self.send(world, &answer);
                }
            }
            all.extend(received);
        }
    }

    /// Makes reading from this connection fail from now on.
    pub(crate) fn break_off(&self, world: &World, kind: io::ErrorKind) {
        self.peer.break_off(kind);
        world.run_until_idle();
    }

    pub(crate) fn close(&self, world: &World) {
        self.peer.close();
        world.run_until_idle();
    }
}
