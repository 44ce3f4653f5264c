//! The bridge's side of a connection, played by the test.

use std::{cell::RefCell, io, time::Duration};

use iotcore_gateway_testkit::simulation::{GatewayEnd, Peer};

use super::{
    World,
    wire::{self, Sent},
};

/// The server's end of one connection.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    /// The beginning of a packet.
    rest: RefCell<Vec<u8>>,
}

impl Server {
    /// Takes the connection that the driver has just made.
    #[track_caller]
    pub(crate) fn accept(world: &World) -> Self {
        world.settle();
        Self::dialed(world).expect("no connection was made")
    }

    /// Takes the connection that the driver has made, if it has.
    pub(crate) fn dialed(world: &World) -> Option<Self> {
        Some(Self {
            peer: world.net.accept()?,
            rest: RefCell::default(),
        })
    }

    /// Lets time pass until the driver has dialed again, and accepts the connection.
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
        self.send(world, &[0x20, 2, 0, 0]);
    }

    /// Accepts the connection, and grants the errors topic, which is all that is asked for.
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

    /// How far the driver is with the connection, once all that came before was received.
    pub(crate) fn driver_end(&self) -> GatewayEnd {
        self.peer.gateway_end()
    }

    /// The whole packets that have come since the last call.
    pub(crate) fn received(&self) -> Vec<Sent> {
        let mut bytes = self.rest.borrow_mut();
        bytes.extend(self.peer.receive());
        let whole = whole_packets(&bytes);
        let packets: Vec<u8> = bytes.drain(..whole).collect();
        wire::parse(&packets)
    }

    /// The payloads of the PUBLISHes that have come since the last call, with their packet identifiers.
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

    /// The packet identifiers that were acknowledged since the last call.
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
        world.settle();
    }

    pub(crate) fn puback(&self, world: &World, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(world, &[0x40, 2, high, low]);
    }

    pub(crate) fn suback(&self, world: &World, id: u16, code: u8) {
        let [high, low] = id.to_be_bytes();
        self.send(world, &[0x90, 3, high, low, code]);
    }

    pub(crate) fn publish(&self, world: &World, topic: &str, payload: &str, id: u16) {
        let packet = wire::publish(topic, payload.as_bytes(), Some(id), false);
        self.send(world, &packet);
    }

    /// Acknowledges everything that comes until nothing more does; gives what it was.
    pub(crate) fn serve(&self, world: &World) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            world.settle();
            let received = self.received();
            if received.is_empty() {
                return all;
            }
            for packet in &received {
                match packet {
                    Sent::Publish { id: Some(id), .. } => self.puback(world, *id),
                    Sent::Subscribe { id, qos, .. } => self.suback(world, *id, *qos),
                    Sent::Unsubscribe { id, .. } => {
                        let [high, low] = id.to_be_bytes();
                        self.send(world, &[0xb0, 2, high, low]);
                    }
                    Sent::PingReq => self.send(world, &[0xd0, 0]),
                    _ => {}
                }
            }
            all.extend(received);
        }
    }

    /// Reading from this connection fails from now on.
    pub(crate) fn break_off(&self, world: &World, kind: io::ErrorKind) {
        self.peer.break_off(kind);
        world.settle();
    }

    pub(crate) fn close(&self, world: &World) {
        self.peer.close();
        world.settle();
    }
}

/// The length of the whole packets at the start of `bytes`.
fn whole_packets(bytes: &[u8]) -> usize {
    let mut end = 0;
    'packets: loop {
        let mut len = 0;
        for at in 0..4 {
            let Some(&byte) = bytes.get(end + 1 + at) else {
                break 'packets end;
            };
            len |= usize::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                let next = end + 2 + at + len;
                if next > bytes.len() {
                    break 'packets end;
                }
                end = next;
                continue 'packets;
            }
        }
        panic!("a remaining length of more than four bytes");
    }
}
