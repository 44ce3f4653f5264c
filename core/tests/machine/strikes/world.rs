//! A gateway on a bridge that closes the connection at some packets.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome,
    cause::TransportEnd,
    message::{QoS, Subscription},
};

use super::super::peer::{Harness, Sent, parse, seconds};

/// What the bridge does with a packet that it does not like.
pub(super) type Verdict = fn(&Sent) -> Reaction;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Answer,
    /// Closes the connection, and answers nothing that it got with the packet.
    Close,
    /// Closes the connection, after answering what it got before the packet.
    CloseInTurn,
    /// The connection ends like this, so long after the transport has taken half of the packet. Nothing is answered.
    EndInside(Duration, TransportEnd),
    /// Closes the connection, like `Close`, once the transport has taken half of the next large packet behind it.
    CloseBehind,
    /// The link breaks.
    Break,
    Ignore,
}

/// A packet of more bytes is large.
const LARGE: usize = 30_000;

/// A gateway on a bridge that answers at once, unless it does not like a packet.
pub(super) struct World {
    pub(super) harness: Harness,
    pub(super) verdict: Verdict,
    pub(super) is_up: bool,
    pub(super) events: Vec<Event>,
    /// When each connection ended because of a packet, and what was sent on it last.
    pub(super) ends: Vec<Vec<Sent>>,
    /// Payloads of the publications that were acknowledged.
    pub(super) delivered: Vec<String>,
}

impl World {
    pub(super) fn new(options: Options, verdict: Verdict) -> Self {
        let mut world = Self {
            harness: Harness::dialing(options),
            verdict,
            is_up: false,
            events: Vec::new(),
            ends: Vec::new(),
            delivered: Vec::new(),
        };
        world.serve();
        world
    }

    /// Serves the gateway until nothing more happens at this instant.
    pub(super) fn serve(&mut self) {
        loop {
            if self.harness.gateway.wants_transport() && !self.is_up {
                self.is_up = true;
                self.harness.transport_up();
            }
            let sent = self.take_sent();
            let reactions = sent.iter().map(self.verdict).collect::<Vec<_>>();
            let bad = reactions
                .iter()
                .position(|reaction| !matches!(reaction, Reaction::Answer | Reaction::Ignore));
            if let Some(bad) = bad {
                let answered = match reactions[bad] {
                    Reaction::CloseInTurn => bad,
                    _ => 0,
                };
                for (packet, reaction) in sent.iter().zip(&reactions).take(answered) {
                    self.answer(packet, *reaction);
                }
                let end = match reactions[bad] {
                    Reaction::Break => TransportEnd::Broken,
                    Reaction::EndInside(after, end) => {
                        self.harness.wait(after);
                        end
                    }
                    Reaction::CloseBehind => {
                        self.harness.wait(Duration::from_millis(10));
                        TransportEnd::PeerClosed
                    }
                    _ => TransportEnd::PeerClosed,
                };
                self.end(end);
                self.ends.push(sent);
            } else {
                for (packet, reaction) in sent.iter().zip(reactions) {
                    self.answer(packet, reaction);
                }
                if sent.is_empty() {
                    break;
                }
            }
        }
        self.events.extend(self.harness.events());
    }

    /// Returns what the gateway sends; last a packet that the bridge closes the connection inside of, if there is one.
    fn take_sent(&mut self) -> Vec<Sent> {
        let (mut sent, mut closes_behind) = (Vec::new(), false);
        loop {
            let Harness { gateway, now, .. } = &mut self.harness;
            let bytes = gateway.poll_transmit().to_vec();
            if bytes.is_empty() {
                return sent;
            }
            let len = packet_len(&bytes);
            let packet = parse(&bytes[..len]).remove(0);
            let reaction = (self.verdict)(&packet);
            let is_cut =
                matches!(reaction, Reaction::EndInside(..)) || closes_behind && len > LARGE;
            closes_behind |= reaction == Reaction::CloseBehind;
            gateway.handle_transmitted(if is_cut { len / 2 } else { len }, *now);
            sent.push(packet);
            if is_cut {
                return sent;
            }
        }
    }

    pub(super) fn answer(&mut self, packet: &Sent, reaction: Reaction) {
        if reaction == Reaction::Ignore {
            return;
        }
        if let Some(answer) = packet.answer() {
            self.harness.receive(&answer);
        }
        if let Sent::Publish { topic, payload, .. } = packet
            && !topic.ends_with("/attach")
        {
            self.delivered
                .push(String::from_utf8(payload.clone()).unwrap());
        }
    }

    pub(super) fn end(&mut self, end: TransportEnd) {
        self.is_up = false;
        let now = self.harness.now;
        self.harness.gateway.handle_disconnected(end, now);
    }

    /// Ends three connections, each a second after the gateway has connected, and waits for the next one.
    pub(super) fn hang_up_three_times(&mut self) {
        for _ in 0..3 {
            self.pass(seconds(1));
            self.end(TransportEnd::PeerClosed);
            self.wait_for_connection();
        }
    }

    pub(super) fn wait_for_connection(&mut self) {
        while !self.is_up {
            self.pass(seconds(1));
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.harness.now + duration;
        self.serve();
        while self
            .harness
            .gateway
            .poll_timeout()
            .is_some_and(|at| at <= end)
        {
            self.harness.step();
            self.serve();
        }
        self.harness.wait(end - self.harness.now);
        self.serve();
    }

    /// Publishes a message every second for so long.
    pub(super) fn publish_on(&mut self, device: DeviceKey, duration: Duration) -> Vec<String> {
        let payloads = (0..duration.as_secs()).map(|second| format!("healthy {second}"));
        let payloads = payloads.collect::<Vec<_>>();
        for payload in &payloads {
            self.harness.publish(device, payload);
            self.pass(seconds(1));
        }
        payloads
    }

    pub(super) fn attach(&mut self, id: &str) -> (DeviceKey, OpId) {
        let attached = self.harness.begin_attach(id);
        self.serve();
        attached
    }

    pub(super) fn subscribe(&mut self, device: DeviceKey, subscription: Subscription) -> OpId {
        let gateway = &mut self.harness.gateway;
        let now = self.harness.now;
        gateway
            .subscribe(device, subscription, QoS::AtLeastOnce, now)
            .unwrap()
    }

    pub(super) fn ended(&self, op: OpId) -> Option<Result<Outcome, Failure>> {
        let mut ends = self.events.iter().filter_map(|event| match event {
            Event::Done { op: ended, outcome } if *ended == op => Some(Ok(*outcome)),
            Event::Failed {
                op: ended, failure, ..
            } if *ended == op => Some(Err(failure.clone())),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "{op} ended twice");
        end
    }

    pub(super) fn is_takeover_told(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|event| matches!(event, Event::Disconnected(ended) if ended.takeover_suspected))
    }
}

/// Returns the length of the packet at the front.
fn packet_len(bytes: &[u8]) -> usize {
    let of_length = bytes[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let length = bytes[1..=of_length].iter().rev();
    let rest = length.fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    1 + of_length + rest
}

pub(super) fn payload_of(packet: &Sent) -> Option<&[u8]> {
    match packet {
        Sent::Publish { payload, .. } => Some(payload),
        _ => None,
    }
}

pub(super) fn closes_at_poison(packet: &Sent) -> Reaction {
    match payload_of(packet) {
        Some(b"poison") => Reaction::Close,
        _ => Reaction::Answer,
    }
}

pub(super) fn closes_at_attach(packet: &Sent) -> Reaction {
    match packet {
        Sent::Publish { topic, .. } if topic == "/devices/bad/attach" => Reaction::Close,
        _ => Reaction::Answer,
    }
}

pub(super) fn closes_at_commands(packet: &Sent) -> Reaction {
    match packet {
        Sent::Subscribe { filter, .. } if filter.ends_with("/commands/#") => Reaction::Close,
        _ => Reaction::Answer,
    }
}

pub(super) fn closes_at_errors(packet: &Sent) -> Reaction {
    match packet {
        Sent::Subscribe { filter, .. } if filter.ends_with("/errors") => Reaction::Close,
        _ => Reaction::Answer,
    }
}

/// Answers nothing of a device, its attach neither.
pub(super) fn ignores_bad(packet: &Sent) -> Reaction {
    match packet {
        Sent::Publish { topic, .. } if topic.starts_with("/devices/bad/") => Reaction::Ignore,
        _ => Reaction::Answer,
    }
}

pub(super) fn ignores_commands(packet: &Sent) -> Reaction {
    match packet {
        Sent::Subscribe { filter, .. } if filter.ends_with("/commands/#") => Reaction::Ignore,
        _ => Reaction::Answer,
    }
}
