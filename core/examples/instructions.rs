//! Publishes and acknowledges messages of 256 bytes, for whoever counts the instructions of one: `.ci/instructions` does, with
//! valgrind, as the difference between two numbers of rounds.
//!
//! ```sh
//! cargo run --release --example instructions --features store -- stored 100
//! ```
//!
//! The first argument says what a store does with them, if the feature `store` is on: `memory` (without a store), `acknowledged`
//! (they are acknowledged within its linger), `stored` (they are put, made durable and removed), `logged` (by a segment log, on
//! a disk that does nothing). The second is the number of rounds, of 50 messages each.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it is a program, not a part of the machine"
)]

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
#[cfg(feature = "store")]
use iotcore_gateway::store::{LogOptions, Recovery, SegmentLog, StoreOp};
use iotcore_gateway::{
    ClientId, Event, Gateway, Options, Outcome, Publication,
    auth::{Token, UnixTime},
};

const IN_ROUND: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(what), Some(rounds)) = (arguments.next(), arguments.next()) else {
        return Err("name what a store does, and the number of rounds".into());
    };
    let rounds: usize = rounds.parse()?;
    let now = Instant::now();
    let mut link = Link {
        gateway: gateway(&what, now)?,
        now,
        ids: Vec::new(),
        #[cfg(feature = "store")]
        log: (what == "logged").then(log).transpose()?,
    };
    let payload = Bytes::from(vec![7; 256]);
    let mut acknowledged = 0;
    for _ in 0..rounds {
        for _ in 0..IN_ROUND {
            let publication = Publication::telemetry(link.gateway.own_key(), payload.clone());
            link.gateway.publish(publication, link.now)?;
        }
        link.transmit();
        link.store()?;
        acknowledged += link.acknowledge();
        link.now += Duration::from_millis(30);
    }
    assert_eq!(acknowledged, rounds * IN_ROUND);
    println!("{acknowledged} messages: {what}");
    Ok(())
}

fn client() -> Result<ClientId, Box<dyn Error>> {
    Ok(ClientId::new(
        "project".parse()?,
        "us-central1".parse()?,
        "registry".parse()?,
        "gateway-1".parse()?,
    ))
}

/// Returns a gateway that is connected.
fn gateway(what: &str, now: Instant) -> Result<Gateway, Box<dyn Error>> {
    let mut gateway = Gateway::new(client()?, options(what)?, 42)?;
    gateway.open(now)?;
    let token = Token::new("a.jwt.here", now + Duration::from_secs(86_400))?;
    gateway.handle_connected(token, UnixTime::from_secs(1_795_374_000), now);
    gateway.handle_transmitted(gateway.poll_transmit().len(), now);
    gateway.handle_input(&[0x20, 2, 0, 0], now);
    let subscribe = gateway.poll_transmit();
    let (len, id) = (subscribe.len(), [subscribe[2], subscribe[3]]);
    gateway.handle_transmitted(len, now);
    gateway.handle_input(&[0x90, 3, id[0], id[1], 0], now);
    while gateway.poll_event().is_some() {}
    Ok(gateway)
}

#[cfg(feature = "store")]
fn options(what: &str) -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    options.durability.linger = match what {
        "memory" => None,
        "acknowledged" => Some(Duration::from_secs(1)),
        "stored" | "logged" => Some(Duration::ZERO),
        _ => {
            return Err(
                format!("{what}: it must be memory, acknowledged, stored or logged").into(),
            );
        }
    };
    Ok(options)
}

#[cfg(feature = "store")]
fn log() -> Result<SegmentLog, Box<dyn Error>> {
    let (log, _) = Recovery::new(&client()?, LogOptions::default(), []).finish()?;
    Ok(log)
}

#[cfg(not(feature = "store"))]
fn options(what: &str) -> Result<Options, Box<dyn Error>> {
    match what {
        "memory" => Ok(Options::default()),
        _ => Err(format!("{what}: without the feature `store` it must be memory").into()),
    }
}

struct Link {
    gateway: Gateway,
    now: Instant,
    /// The identifiers of the PUBLISH packets that were transmitted.
    ids: Vec<[u8; 2]>,
    #[cfg(feature = "store")]
    log: Option<SegmentLog>,
}

impl Link {
    /// Takes what the gateway transmits.
    fn transmit(&mut self) {
        loop {
            let bytes = self.gateway.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            let mut at = 0;
            while at < bytes.len() {
                // The remaining length of a packet of this size takes two bytes.
                let body = at + 3;
                let len = usize::from(bytes[at + 1] & 0x7F) | usize::from(bytes[at + 2]) << 7;
                let topic = usize::from(u16::from_be_bytes([bytes[body], bytes[body + 1]]));
                let id = body + 2 + topic;
                self.ids.push([bytes[id], bytes[id + 1]]);
                at = body + len;
            }
            let len = bytes.len();
            self.gateway.handle_transmitted(len, self.now);
        }
    }

    /// Carries out what the store is asked for.
    #[cfg(feature = "store")]
    fn store(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(op) = self.gateway.poll_store() {
            if let Some(log) = &mut self.log {
                log.apply(op)?;
                while log.poll_disk().is_some() {
                    log.handle_done();
                }
            }
            if let StoreOp::Commit { through } = op {
                self.gateway.handle_stored(through, self.now);
            }
        }
        Ok(())
    }

    #[cfg(not(feature = "store"))]
    fn store(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(())
    }

    /// Acknowledges what was transmitted; returns how much was done because of that.
    fn acknowledge(&mut self) -> usize {
        for [high, low] in self.ids.drain(..) {
            self.gateway.handle_input(&[0x40, 2, high, low], self.now);
        }
        let mut done = 0;
        while let Some(event) = self.gateway.poll_event() {
            let outcome = Outcome::Acknowledged;
            done += usize::from(matches!(event, Event::Done { outcome: is, .. } if is == outcome));
        }
        done
    }
}
