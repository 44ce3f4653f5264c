//! What is written of a store.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use iotcore_gateway_tokio::{DeviceId, auth::UnixTime, store::Damage};
use serde_json::json;

use super::content::{Content, StoredMessage, seconds_left};
use crate::operation::Action;

/// Writes what there is, and whether it is intact.
pub(super) fn check(output: &mut impl Write, content: &Content) -> io::Result<()> {
    match &content.owner {
        Some(owner) => writeln!(output, "gateway:    {owner}")?,
        None => writeln!(
            output,
            "gateway:    unknown, because nothing is written here"
        )?,
    }
    let mut devices: BTreeMap<&DeviceId, usize> = BTreeMap::new();
    for message in &content.messages {
        *devices.entry(&message.device).or_default() += 1;
    }
    let bytes: usize = content.messages.iter().map(StoredMessage::bytes).sum();
    let messages = content.messages.len();
    writeln!(output, "messages:   {messages}, {bytes} bytes")?;
    for (device, messages) in devices {
        writeln!(output, "  {device}: {messages}")?;
    }
    let damage = |Damage { places, bytes }| format!("{places} places, {bytes} bytes");
    let recovered = &content.recovered;
    writeln!(output, "damaged:    {}", damage(recovered.damaged))?;
    writeln!(
        output,
        "unfinished: {}, as a power cut leaves them",
        damage(recovered.unfinished)
    )
}

/// Writes a line for each message.
pub(super) fn show(
    output: &mut impl Write,
    content: &Content,
    now: Option<UnixTime>,
) -> io::Result<()> {
    for message in &content.messages {
        writeln!(output, "{}", message.line(now))?;
    }
    Ok(())
}

/// Writes the operations that send the messages, and before those of a device the one that attaches it.
pub(super) fn export(
    output: &mut impl Write,
    content: &Content,
    now: Option<UnixTime>,
) -> io::Result<()> {
    let mut attached = BTreeSet::new();
    for message in &content.messages {
        if let Some(device) = &message.request.device
            && attached.insert(device)
        {
            let attach =
                json!({"op": "attach", "id": format!("attach {device}"), "device": device});
            writeln!(output, "{attach}")?;
        }
        if let Some(operation) = message.operation(now) {
            serde_json::to_writer(&mut *output, &operation)?;
            writeln!(output)?;
        }
    }
    Ok(())
}

impl StoredMessage {
    fn bytes(&self) -> usize {
        let publication = self.request.action.publication();
        publication.map_or(0, |publication| publication.payload.len())
    }

    /// Describes it, without its payload.
    fn line(&self, now: Option<UnixTime>) -> String {
        let what = match &self.request.action {
            Action::Telemetry {
                subfolder: Some(subfolder),
                ..
            } => format!("telemetry/{subfolder}"),
            Action::Telemetry { .. } => "telemetry".to_owned(),
            _ => "state".to_owned(),
        };
        let (id, device, bytes) = (&self.request.id, &self.device, self.bytes());
        let mut line = format!("{id} {device} {what}, {bytes} bytes");
        if let Some(publication) = self.request.action.publication() {
            if publication.is_urgent() {
                line.push_str(", urgent");
            }
            if let Some(tag) = &publication.tag {
                line.push_str(&format!(", tag {:?}", tag.as_str()));
            }
        }
        match (self.deadline, now) {
            (None, _) => {}
            (Some(deadline), None) => {
                line.push_str(&format!(", expires {} s after 1970", deadline.as_secs()));
            }
            (Some(deadline), Some(now)) => match seconds_left(deadline, now) {
                0 => line.push_str(", expired"),
                seconds => line.push_str(&format!(", expires in {seconds} s")),
            },
        }
        line
    }
}
