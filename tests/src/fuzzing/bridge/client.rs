//! Packets of a client of the bridge, well formed or nearly so.

use std::sync::LazyLock;

use iotcore_gateway::auth::UnixTime;

use super::harness::{DEVICES, START};
use crate::fuzzing::source::Source;
use crate::fuzzing::start;
use crate::link::tokens;
use crate::packets::{frame, publish, string};

/// Tokens: valid for a day, expired long ago, and for another project.
static TOKENS: LazyLock<[String; 3]> = LazyLock::new(|| {
    let token = |project: &str, issued: u64| {
        let project = project.try_into().expect("a legal project");
        let day = core::time::Duration::from_secs(86_400);
        let token = tokens::mint(&project, day, start(), UnixTime::from_secs(issued));
        token.expose().to_owned()
    };
    [
        token("my-project", START),
        token("my-project", START - 1_000_000),
        token("other-project", START),
    ]
});

/// Returns a packet of this kind, with fields selected by the next bytes.
pub(super) fn packet(kind: u8, source: &mut Source<'_>) -> Vec<u8> {
    match kind & 0x0f {
        0 | 1 => connect(source),
        2 | 3 => control("attach", source),
        4 => control("detach", source),
        5 | 6 => data(source),
        7 | 8 => subscribe(source),
        9 => {
            let (packet_id, filter) = (source.number(), filter(source));
            frame(
                0xa2,
                &[&packet_id.to_be_bytes(), &string(filter.as_bytes())],
            )
        }
        10 | 11 => frame(0x40, &[&u16::from(source.byte()).to_be_bytes()]),
        12 => frame(source.pick(&[0x50, 0x62, 0x70]), &[&[0, source.byte()]]),
        13 => vec![0xc0, 0],
        14 => vec![0xe0, 0],
        // The rest of a packet that has started.
        _ => vec![b'z'; 16 * usize::from(source.byte())],
    }
}

fn device(source: &mut Source<'_>) -> &'static str {
    source.pick(&DEVICES)
}

/// Returns a CONNECT, which is usually accepted.
fn connect(source: &mut Source<'_>) -> Vec<u8> {
    let client_id = format!(
        "projects/my-project/locations/us-central1/registries/my-registry/devices/{}",
        device(source)
    );
    let token = &TOKENS[source.pick(&[0, 0, 0, 0, 0, 0, 1, 2])];
    let keep_alive = u16::from(source.byte()).to_be_bytes();
    let flags = source.pick(&[0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc0, 0x82, 0x42, 0xc6]);
    let mut fields = vec![string(client_id.as_bytes())];
    if flags & 0x04 != 0 {
        fields.extend([string(b"will"), string(b"gone")]);
    }
    if flags & 0x80 != 0 {
        fields.push(string(b"unused"));
    }
    if flags & 0x40 != 0 {
        fields.push(string(token.as_bytes()));
    }
    let level = source.pick(&[4, 4, 4, 4, 4, 4, 5, 3]);
    let head = [&string(b"MQTT")[..], &[level, flags], &keep_alive].concat();
    frame(0x10, &[&head, &fields.concat()])
}

fn control(control: &str, source: &mut Source<'_>) -> Vec<u8> {
    let topic = format!("/devices/{}/{control}", device(source));
    let packet_id = source.byte();
    let payload = match source.byte() % 4 {
        0 | 1 => "{}".to_owned(),
        2 => format!(r#"{{"authorization":"{}"}}"#, TOKENS[0]),
        _ => String::from_utf8_lossy(source.take(7)).into_owned(),
    };
    let packet_id = (packet_id > 0).then_some(packet_id.into());
    publish(&topic, payload.as_bytes(), packet_id, false)
}

fn data(source: &mut Source<'_>) -> Vec<u8> {
    let channel = source.pick(&["events", "events/a/b", "state", "config", "events/"]);
    let topic = format!("/devices/{}/{channel}", device(source));
    let packet_id = source.byte();
    let payload = vec![b'p'; source.pick(&[0, 1, 100, 65_536, 65_537, 262_144, 262_145])];
    let packet_id = (packet_id > 0).then_some(packet_id.into());
    publish(
        &topic,
        &payload,
        packet_id,
        packet_id.is_some() && source.byte() & 1 == 1,
    )
}

fn subscribe(source: &mut Source<'_>) -> Vec<u8> {
    let packet_id = u16::from(source.byte()).to_be_bytes();
    let mut body = packet_id.to_vec();
    for _ in 0..=source.byte() % 3 {
        body.extend(string(filter(source).as_bytes()));
        body.push(source.pick(&[0, 1, 1, 2]));
    }
    frame(0x82, &[&body])
}

fn filter(source: &mut Source<'_>) -> String {
    let kind = source.pick(&["config", "commands/#", "errors", "commands", "+", "#"]);
    format!("/devices/{}/{kind}", device(source))
}
