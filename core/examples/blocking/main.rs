//! A gateway without a runtime: the bare machine, `std::net`, rustls and one thread. It sends one reading, and leaves
//! when that is acknowledged.
//!
//! Here is what a program does with a gateway; in `adapter`, what an adapter does for it.
#![expect(
    clippy::disallowed_methods,
    reason = "here the machine meets the clock"
)]

mod adapter;

use std::io::{self, Write};
use std::time::Instant;
use std::{env, error::Error, fs, process, thread};

use iotcore_gateway::{Algorithm, ClientId, Event, Gateway, Options, Publication, SigningKey};

use self::adapter::{Bridge, Line, time_left};

const USAGE: &str = "usage: blocking HOST PORT CA PROJECT LOCATION REGISTRY GATEWAY KEY DEVICE \
                     (CA and KEY are PEM files: whom to trust, and the gateway's ES256 key)";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().ok_or(USAGE);
    let (host, port, ca) = (next()?, next()?, next()?);
    let (project, location) = (next()?.try_into()?, next()?.try_into()?);
    let id = ClientId::new(project, location, next()?.try_into()?, next()?.try_into()?);
    let key = SigningKey::from_pem(&fs::read(next()?)?, Algorithm::Es256)?;
    let device = next()?.try_into()?;
    let bridge = Bridge::new(host, port.parse()?, &fs::read(ca)?, key)?;

    // No command waits for a connection: what is accepted is kept until the bridge acknowledges it.
    let mut gateway = Gateway::new(id, Options::default(), process::id().into())?;
    gateway.open(Instant::now())?;
    let (device, _) = gateway.attach(device, None, Instant::now())?;
    let reading = gateway.publish(Publication::telemetry(device, "21.5"), Instant::now())?;

    let mut line: Option<Line> = None;
    let mut is_delivered = false;
    while !gateway.is_closed() {
        let step = match &mut line {
            Some(line) => line.turn(&mut gateway),
            None if gateway.wants_transport() => {
                bridge.dial(&mut gateway).map(|dialed| line = Some(dialed))
            }
            None => {
                thread::sleep(time_left(&gateway));
                Ok(())
            }
        };
        if let Err(end) = step {
            line = None;
            gateway.handle_disconnected(end, Instant::now());
        }
        // After what was read, so that an answer that has come is not taken for silence.
        gateway.handle_timeout(Instant::now());
        while let Some(event) = gateway.poll_event() {
            writeln!(io::stdout(), "{event:?}")?;
            let has_arrived = matches!(event, Event::Done { op, .. } if op == reading);
            is_delivered |= has_arrived;
            if has_arrived || matches!(event, Event::Failed { .. }) {
                gateway.close(Instant::now());
            }
        }
    }
    let undelivered = || "the reading was not acknowledged".into();
    is_delivered.then_some(()).ok_or_else(undelivered)
}
