//! The operator's commands, one per line, and their answers.

use core::fmt;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Server;
use crate::bridge::faults::Fault;
use crate::bridge::service::Service;
use crate::{Bridge, ConnectionId};

/// The text of `help`.
pub const HELP: &str = "\
config DEVICE TEXT                     send a device a new config
command DEVICE [--subfolder S] TEXT    send a command to a device
detach DEVICE                          detach a device with GATEWAY_DETACHMENT_DEVICE_ERROR
drop CLIENT                            end the connection of a gateway or device
block DEVICE, unblock DEVICE           refuse a device, or accept it again
bind GATEWAY DEVICE, unbind ...        change what is bound to a gateway
set NAME VALUE                         change a setting
settings                               show all settings
service                                show how long the bridge takes
service WORDS                          set how long the bridge takes, see below
state                                  show connected clients, and counts of device messages
fault ...                              inject a fault, see below
faults                                 show the active faults
help                                   show this
quit                                   end the server
TEXT may be empty, and is taken as base64 if it begins with base64:

fault refuse [N] close|reset|silence   refuse the next N connections
fault refuse [N] connack CODE          the same with a CONNACK, CODE 1 to 255
fault ANSWER hold [N]                  hold the next N back, until release or the connection's end
fault ANSWER delay MS [N]              send the next N later, in milliseconds
fault ANSWER double [N]                send the next N twice
fault ANSWER reorder K                 collect K, send them in reverse, and so on
fault ANSWER release                   send what was held back, delayed or collected
fault service WORDS                    take time and ignore packets until clear, see below
fault stall MS                         answer nothing for MS milliseconds, then all at once
fault rate up|down N                   carry N bytes a second to the bridge, or to the client
fault segment N                        write at most N bytes at a time
fault limit N                          end the connection at each packet of more than N bytes, once its
                                       length has arrived
fault raw [CLIENT] HEX                 send bytes as they are
fault reports lose [N]                 lose the next N error reports
fault cut before|instead|after PACKET  end the connection at the next such packet: before it has an
                                       effect, instead of the answer, or after it
fault poison PACKET DEVICE [HEX]       end the connection at each such packet about a device; with HEX,
                                       at each whose payload begins with these bytes
fault grant qos0|failure [N]           grant the next N topic filters QoS 0, or refuse them
fault clear                            end all faults, and send what was held back
ANSWER is puback, suback, unsuback or pingresp. PACKET is connect, publish (any), attach, detach,
telemetry, state, subscribe, unsubscribe, pingreq, puback or disconnect; after poison, one of publish
to unsubscribe. Without [N]: all, until clear.
Each, except service, can be limited to the connections of one gateway or device with --client ID

WORDS of a service, in any order; none, or one, to answer everything at once:
one, per-kind                          one queue for all packets of a connection, or one for each KIND
workers=N                              packets of each queue that are processed at once
KIND=TIME                              how long that takes; KIND is attach, subscribe, publish or ping
tail=SHAPE:MAX                         take longer at random, up to MAX times, such as 1.5:20
burst=TIME                             answer only at multiples of this time
buffer=N                               drop what a queue of N packets has no room for
lose=N/1000, lose-KIND=N/1000          never answer so many, at random
ignore=ID,ID                           never answer the attaches of these devices
ignore-publish=ID,ID, ignore-all=ID,ID never answer their telemetry and states, or any packet of theirs
stall=TIME+TIME                        answer nothing, from the first time on, for the second
seed=N                                 the seed of everything random
TIME is a whole number with s, ms, us or ns";

/// The maximum length of an error, in characters.
const MAX_ERROR: usize = 500;

/// The answer to a line; in JSON an object whose member `event` is `answer`.
#[derive(Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The command succeeded.
    Done {
        /// What was done.
        text: String,
    },
    /// The command failed, and nothing has changed.
    Failed {
        /// The reason.
        error: String,
    },
    /// The requested information.
    Text {
        /// Several lines.
        text: String,
    },
    /// The connected clients.
    State(BridgeState),
    /// The server is to stop.
    Quit,
}

/// The connected clients, and what devices have sent.
#[derive(Debug, Serialize)]
pub struct BridgeState {
    clients: Vec<ClientStatus>,
    devices: Vec<DeviceStatus>,
}

#[derive(Debug, Serialize)]
struct ClientStatus {
    client: String,
    connection: ConnectionId,
    gateway: bool,
    attached: Vec<String>,
    /// Topic filters and the granted QoS.
    subscriptions: Vec<(String, u8)>,
}

#[derive(Debug, Serialize)]
struct DeviceStatus {
    device: String,
    config_version: u64,
    config_acknowledged: Option<u64>,
    telemetry: u64,
    states: u64,
}

/// Executes the command of a line.
#[must_use]
pub fn run(server: &Server, line: &str) -> Answer {
    let (verb, rest) = word(line);
    let done = |result: Result<String, String>| match result {
        Ok(text) => Answer::Done { text },
        Err(error) => Answer::failed(error),
    };
    match verb {
        "config" => done(config(server, rest)),
        "command" => done(command(server, rest)),
        "detach" | "drop" | "block" | "unblock" => done(act_on_one(server, verb, rest)),
        "bind" | "unbind" => done(act_on_two(server, verb, rest)),
        "set" => done(set(server, rest)),
        "settings" => Answer::Text {
            text: server
                .with(|bridge, _| bridge.settings().to_string())
                .trim_end()
                .to_owned(),
        },
        "service" if rest.trim().is_empty() => Answer::Text {
            text: server.with(|bridge, _| describe(bridge.service())),
        },
        "service" => done(service(server, rest)),
        "fault" => done(fault(server, rest)),
        "faults" => Answer::Text {
            text: server.with(|bridge, now| list_faults(bridge, now)),
        },
        "state" => Answer::State(server.with(|bridge, _| BridgeState::of(bridge))),
        "help" => Answer::Text {
            text: HELP.to_owned(),
        },
        "quit" => Answer::Quit,
        _ => Answer::failed(format!("unknown command {verb:?}; type help")),
    }
}

fn config(server: &Server, rest: &str) -> Result<String, String> {
    let (device, text) = word(rest);
    needed("DEVICE", device)?;
    let payload = payload(text)?;
    let version = server.with(|bridge, now| bridge.send_config(device, payload, now));
    version
        .map(|version| format!("{device} has config version {version}"))
        .map_err(|error| error.to_string())
}

fn command(server: &Server, rest: &str) -> Result<String, String> {
    let (device, text) = word(rest);
    needed("DEVICE", device)?;
    let (subfolder, text) = match word(text) {
        ("--subfolder", rest) => {
            let (subfolder, text) = word(rest);
            (Some(subfolder), text)
        }
        _ => (None, text),
    };
    let payload = payload(text)?;
    let sent = server.with(|bridge, now| bridge.send_command(device, subfolder, payload, now));
    sent.map(|()| format!("command sent to {device}"))
        .map_err(|error| error.to_string())
}

fn act_on_one(server: &Server, verb: &str, rest: &str) -> Result<String, String> {
    let (name, extra) = word(rest);
    needed("a name", name)?;
    nothing_more(extra)?;
    let result = server.with(|bridge, now| match verb {
        "detach" => bridge.detach_with_error(name, now),
        "drop" => bridge.drop_connection(name, now),
        _ => bridge.set_blocked(name, verb == "block", now),
    });
    result
        .map(|()| format!("{verb} {name}"))
        .map_err(|error| error.to_string())
}

fn act_on_two(server: &Server, verb: &str, rest: &str) -> Result<String, String> {
    let (gateway, rest) = word(rest);
    let (device, extra) = word(rest);
    needed("GATEWAY", gateway)?;
    needed("DEVICE", device)?;
    nothing_more(extra)?;
    let result = server.with(|bridge, now| match verb {
        "bind" => bridge.bind(gateway, device),
        _ => bridge.unbind(gateway, device, now),
    });
    result
        .map(|()| format!("{verb} {gateway} {device}"))
        .map_err(|error| error.to_string())
}

fn set(server: &Server, rest: &str) -> Result<String, String> {
    let (name, rest) = word(rest);
    let (value, extra) = word(rest);
    nothing_more(extra)?;
    let result = server.with(|bridge, _| bridge.settings_mut().set(name, value));
    result
        .map(|()| format!("{name}={value}"))
        .map_err(|error| error.to_string())
}

fn fault(server: &Server, line: &str) -> Result<String, String> {
    let fault: Fault = line
        .parse()
        .map_err(|error| format!("{error}; type help"))?;
    let text = format!("fault {fault}");
    let injected = server.with(|bridge, now| bridge.inject(fault, now));
    injected.map(|()| text).map_err(|error| error.to_string())
}

fn service(server: &Server, words: &str) -> Result<String, String> {
    let service: Service = words
        .parse()
        .map_err(|error| format!("{error}; type help"))?;
    let text = describe(&service);
    server.with(|bridge, now| bridge.set_service(service, now));
    Ok(text)
}

fn describe(service: &Service) -> String {
    match service.is_default() {
        true => "everything is answered at once".to_owned(),
        false => format!("service {service}"),
    }
}

fn list_faults(bridge: &Bridge, now: Instant) -> String {
    let mut faults: Vec<String> = bridge.faults().iter().map(Fault::to_string).collect();
    faults.extend(bridge.slowness(now).iter().map(Fault::to_string));
    match faults.is_empty() {
        true => "no fault is active".to_owned(),
        false => faults.join("\n"),
    }
}

/// Splits off the first word; the rest keeps everything except the one blank before it.
fn word(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn needed(what: &str, word: &str) -> Result<(), String> {
    match word {
        "" => Err(format!("{what} is missing; type help")),
        _ => Ok(()),
    }
}

fn nothing_more(extra: &str) -> Result<(), String> {
    match extra {
        "" => Ok(()),
        _ => Err(format!("unexpected {extra:?}; type help")),
    }
}

fn payload(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix("base64:") {
        None => Ok(text.as_bytes().to_vec()),
        Some(base64) => STANDARD
            .decode(base64)
            .map_err(|error| format!("base64: {error}")),
    }
}

impl Answer {
    /// Creates the answer to a command that failed. An error that repeats much of the line is cut short.
    #[must_use]
    pub fn failed(mut error: String) -> Self {
        let cut = error.char_indices().nth(MAX_ERROR);
        if let Some((place, _)) = cut {
            error.truncate(place);
            error.push('…');
        }
        Self::Failed { error }
    }
}

impl BridgeState {
    fn of(bridge: &Bridge) -> Self {
        let clients = bridge.connected().map(|(client, connection)| ClientStatus {
            client: client.to_owned(),
            connection,
            gateway: bridge.is_gateway(client),
            attached: bridge.attached(client).map(str::to_owned).collect(),
            subscriptions: bridge.subscriptions(client).collect(),
        });
        let devices = bridge.registry().devices().filter_map(|id| {
            let record = bridge.device(id)?;
            Some(DeviceStatus {
                device: id.to_owned(),
                config_version: record.config_version(),
                config_acknowledged: record.config_acknowledged(),
                telemetry: record.telemetry_total(),
                states: record.states_total(),
            })
        });
        Self {
            clients: clients.collect(),
            devices: devices.collect(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { text } => write!(f, "ok: {text}"),
            Self::Failed { error } => write!(f, "error: {error}"),
            Self::Text { text } => f.write_str(text),
            Self::State(state) => state.fmt(f),
            Self::Quit => f.write_str("bye"),
        }
    }
}

impl fmt::Display for BridgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clients.is_empty() {
            writeln!(f, "nobody is connected")?;
        }
        for client in &self.clients {
            let role = if client.gateway { "gateway" } else { "device" };
            writeln!(
                f,
                "{role} {} on connection {}",
                client.client, client.connection
            )?;
            if client.gateway {
                writeln!(
                    f,
                    "    attached:   {}",
                    list(client.attached.iter().cloned())
                )?;
            }
            let filters = client.subscriptions.iter();
            let filters = filters.map(|(filter, qos)| format!("{filter} (QoS {qos})"));
            writeln!(f, "    subscribed: {}", list(filters))?;
        }
        write!(
            f,
            "{:<24} {:>9}  {:>6}  {:>9}  {:>6}",
            "device", "telemetry", "states", "config", "acked"
        )?;
        for device in &self.devices {
            let acknowledged = match device.config_acknowledged {
                Some(version) => version.to_string(),
                None => "-".to_owned(),
            };
            write!(
                f,
                "\n{:<24} {:>9}  {:>6}  {:>9}  {:>6}",
                device.device, device.telemetry, device.states, device.config_version, acknowledged
            )?;
        }
        Ok(())
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(", "),
    }
}
