//! The bridge's side of a connection in memory, played by the test.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{
    wire::{self, Sent},
    world::{Call, Pipe, World},
};

/// The server's end of one connection.
pub(crate) struct Server {
    pipe: Arc<Mutex<Pipe>>,
}

impl Server {
    /// Takes the connection that the driver has just made.
    #[track_caller]
    pub(crate) fn accept(world: &mut World) -> Self {
        world.settle();
        let pipe = world.net.take_connection().expect("no connection was made");
        Self { pipe }
    }

    /// Lets time pass until the driver has dialed again, and accepts the connection.
    #[track_caller]
    pub(crate) fn accept_again(world: &mut World) -> Self {
        for _ in 0..60 {
            if let Some(pipe) = world.net.take_connection() {
                let server = Self { pipe };
                server.connack(world);
                return server;
            }
            world.pass(Duration::from_secs(1));
        }
        panic!("no connection was made for a minute");
    }

    fn connack(&self, world: &mut World) {
        assert!(matches!(self.received()[..], [Sent::Connect { .. }]));
        self.send(world, &[0x20, 2, 0, 0]);
    }

    /// Accepts the connection, and grants the errors topic, which is all that is asked for.
    #[track_caller]
    pub(crate) fn open(world: &mut World) -> Self {
        let server = Self::accept(world);
        server.connack(world);
        match &server.received()[..] {
            [Sent::Subscribe { id, .. }] => server.suback(world, *id, 0),
            other => panic!("not the errors topic: {other:?}"),
        }
        server
    }

    pub(crate) fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.pipe().calls.clone()
    }

    /// The whole packets that have come since the last call.
    pub(crate) fn received(&self) -> Vec<Sent> {
        let mut pipe = self.pipe();
        let whole = whole_packets(&pipe.to_server);
        let bytes: Vec<u8> = pipe.to_server.drain(..whole).collect();
        wire::parse(&bytes)
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

    pub(crate) fn send(&self, world: &mut World, bytes: &[u8]) {
        {
            let mut pipe = self.pipe();
            pipe.to_client.extend_from_slice(bytes);
            pipe.wake();
        }
        world.settle();
    }

    pub(crate) fn puback(&self, world: &mut World, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(world, &[0x40, 2, high, low]);
    }

    pub(crate) fn suback(&self, world: &mut World, id: u16, code: u8) {
        let [high, low] = id.to_be_bytes();
        self.send(world, &[0x90, 3, high, low, code]);
    }

    pub(crate) fn publish(&self, world: &mut World, topic: &str, payload: &str, id: u16) {
        let packet = wire::publish(topic, payload.as_bytes(), Some(id), false);
        self.send(world, &packet);
    }

    /// Acknowledges everything that comes until nothing more does; gives what it was.
    pub(crate) fn serve(&self, world: &mut World) -> Vec<Sent> {
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

    /// Lets the peer take so many bytes from now on.
    pub(crate) fn give_room(&self, world: &mut World, room: usize) {
        {
            let mut pipe = self.pipe();
            pipe.room = room;
            pipe.wake();
        }
        world.settle();
    }

    /// Reading from this connection fails from now on.
    pub(crate) fn break_off(&self, world: &mut World, kind: io::ErrorKind) {
        {
            let mut pipe = self.pipe();
            pipe.broken = Some(kind);
            pipe.wake();
        }
        world.settle();
    }

    pub(crate) fn close(&self, world: &mut World) {
        {
            let mut pipe = self.pipe();
            pipe.server_has_closed = true;
            pipe.wake();
        }
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
