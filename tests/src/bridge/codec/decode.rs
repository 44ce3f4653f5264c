//! Decodes the body of a control packet to a [`Packet`].

use bytes::{Buf, Bytes};

use super::{Connect, Malformed, Packet, Publish, Version, Will};

/// Decodes one packet from its first byte and its body.
pub(super) fn packet(first: u8, body: Bytes, version: Version) -> Result<Packet, Malformed> {
    let mut fields = Fields { rest: body };
    let packet = match first >> 4 {
        1 => connect(first, &mut fields)?,
        3 => publish(first, &mut fields, version)?,
        4 => Packet::Puback {
            packet_id: acknowledgement(first, 0, &mut fields, version)?,
        },
        5 => qos_two("PUBREC", first, 0, &mut fields, version)?,
        6 => qos_two("PUBREL", first, 2, &mut fields, version)?,
        7 => qos_two("PUBCOMP", first, 0, &mut fields, version)?,
        8 => subscribe(first, &mut fields, version)?,
        10 => unsubscribe(first, &mut fields, version)?,
        12 => {
            flags(first, 0)?;
            Packet::Pingreq
        }
        14 => disconnect(first, &mut fields, version)?,
        _ => return Err(Malformed::PacketType { first }),
    };
    fields.finish()?;
    Ok(packet)
}

fn connect(first: u8, fields: &mut Fields) -> Result<Packet, Malformed> {
    flags(first, 0)?;
    let (name, level) = (fields.binary()?, fields.byte()?);
    let version = match (&name[..], level) {
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => {
            fields.rest.clear();
            return Ok(Packet::UnsupportedConnect { level });
        }
        _ => return Err(Malformed::ProtocolName),
    };
    let flags = ConnectFlags::check(fields.byte()?, version)?;
    let keep_alive = fields.short()?;
    fields.properties(version)?;
    let client_id = fields.text()?;
    let will = match flags.has(ConnectFlags::WILL) {
        true => Some(will(flags, fields, version)?),
        false => None,
    };
    let user_name = match flags.has(ConnectFlags::USER_NAME) {
        true => Some(fields.text()?),
        false => None,
    };
    let password = match flags.has(ConnectFlags::PASSWORD) {
        true => Some(fields.binary()?),
        false => None,
    };
    Ok(Packet::Connect(Box::new(Connect {
        version,
        clean_session: flags.has(ConnectFlags::CLEAN_SESSION),
        keep_alive,
        client_id,
        will,
        user_name,
        password,
    })))
}

fn will(flags: ConnectFlags, fields: &mut Fields, version: Version) -> Result<Will, Malformed> {
    fields.properties(version)?;
    Ok(Will {
        topic: topic_name(fields.text()?)?,
        message: fields.binary()?,
        qos: flags.will_qos(),
        retain: flags.has(ConnectFlags::WILL_RETAIN),
    })
}

fn publish(first: u8, fields: &mut Fields, version: Version) -> Result<Packet, Malformed> {
    let (dup, qos, retain) = (first & 0x08 != 0, first >> 1 & 0x03, first & 0x01 != 0);
    if qos == 3 {
        return Err(Malformed::Qos { byte: first });
    }
    if dup && qos == 0 {
        return Err(Malformed::DupWithoutQos);
    }
    let topic = topic_name(fields.text()?)?;
    let packet_id = match qos {
        0 => 0,
        _ => fields.packet_id()?,
    };
    fields.properties(version)?;
    Ok(Packet::Publish(Publish {
        topic,
        qos,
        dup,
        retain,
        packet_id,
        payload: fields.rest.split_to(fields.rest.len()),
    }))
}

fn acknowledgement(
    first: u8,
    reserved: u8,
    fields: &mut Fields,
    version: Version,
) -> Result<u16, Malformed> {
    flags(first, reserved)?;
    let packet_id = fields.packet_id()?;
    fields.reason(version)?;
    Ok(packet_id)
}

fn qos_two(
    name: &'static str,
    first: u8,
    reserved: u8,
    fields: &mut Fields,
    version: Version,
) -> Result<Packet, Malformed> {
    let packet_id = acknowledgement(first, reserved, fields, version)?;
    Ok(Packet::QosTwo { name, packet_id })
}

fn subscribe(first: u8, fields: &mut Fields, version: Version) -> Result<Packet, Malformed> {
    flags(first, 2)?;
    let packet_id = fields.packet_id()?;
    fields.properties(version)?;
    let mut filters = Vec::new();
    while !fields.rest.is_empty() {
        let filter = topic_filter(fields.text()?)?;
        let byte = fields.byte()?;
        // In MQTT 5, bits 2 to 5 are subscription options.
        let reserved = match version {
            Version::V311 => 0xFC,
            Version::V5 => 0xC0,
        };
        if byte & reserved != 0 || byte & 0x03 == 3 {
            return Err(Malformed::Qos { byte });
        }
        filters.push((filter, byte & 0x03));
    }
    if filters.is_empty() {
        return Err(Malformed::NoFilter);
    }
    Ok(Packet::Subscribe { packet_id, filters })
}

fn unsubscribe(first: u8, fields: &mut Fields, version: Version) -> Result<Packet, Malformed> {
    flags(first, 2)?;
    let packet_id = fields.packet_id()?;
    fields.properties(version)?;
    let mut filters = Vec::new();
    while !fields.rest.is_empty() {
        filters.push(topic_filter(fields.text()?)?);
    }
    if filters.is_empty() {
        return Err(Malformed::NoFilter);
    }
    Ok(Packet::Unsubscribe { packet_id, filters })
}

fn disconnect(first: u8, fields: &mut Fields, version: Version) -> Result<Packet, Malformed> {
    flags(first, 0)?;
    fields.reason(version)?;
    Ok(Packet::Disconnect)
}

fn flags(first: u8, reserved: u8) -> Result<(), Malformed> {
    match first & 0x0F == reserved {
        true => Ok(()),
        false => Err(Malformed::Flags { first }),
    }
}

fn topic_name(topic: String) -> Result<String, Malformed> {
    match topic.is_empty() || topic.contains(['+', '#']) {
        true => Err(Malformed::TopicName),
        false => Ok(topic),
    }
}

fn topic_filter(filter: String) -> Result<String, Malformed> {
    let levels = filter.split('/').count();
    let placed = filter.split('/').enumerate().all(|(index, level)| {
        !level.contains(['+', '#']) || level == "+" || (level == "#" && index + 1 == levels)
    });
    match placed && !filter.is_empty() {
        true => Ok(filter),
        false => Err(Malformed::TopicFilter),
    }
}

/// The flags of a CONNECT, checked for consistency.
#[derive(Clone, Copy)]
struct ConnectFlags(u8);

impl ConnectFlags {
    const CLEAN_SESSION: u8 = 0x02;
    const WILL: u8 = 0x04;
    const WILL_RETAIN: u8 = 0x20;
    const PASSWORD: u8 = 0x40;
    const USER_NAME: u8 = 0x80;

    /// Checks [MQTT-3.1.2-3], [MQTT-3.1.2-11] to [MQTT-3.1.2-15], and [MQTT-3.1.2-22], which MQTT 5 dropped.
    fn check(flags: u8, version: Version) -> Result<Self, Malformed> {
        let this = Self(flags);
        let will_bits_alone = !this.has(Self::WILL) && flags & 0x38 != 0;
        let password_alone =
            version == Version::V311 && this.has(Self::PASSWORD) && !this.has(Self::USER_NAME);
        if flags & 0x01 != 0 || will_bits_alone || this.will_qos() == 3 || password_alone {
            return Err(Malformed::ConnectFlags { flags });
        }
        Ok(this)
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn will_qos(self) -> u8 {
        self.0 >> 3 & 0x03
    }
}

/// The unread part of a packet's body; each method removes one field from its front.
struct Fields {
    rest: Bytes,
}

impl Fields {
    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        match length <= self.rest.len() {
            true => Ok(self.rest.split_to(length)),
            false => Err(Malformed::Truncated),
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?.get_u8())
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        Ok(self.take(2)?.get_u16())
    }

    fn packet_id(&mut self) -> Result<u16, Malformed> {
        match self.short()? {
            0 => Err(Malformed::PacketIdZero),
            packet_id => Ok(packet_id),
        }
    }

    fn binary(&mut self) -> Result<Bytes, Malformed> {
        let length = self.short()?;
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.binary()?;
        let text = core::str::from_utf8(&bytes).map_err(|_| Malformed::NotUtf8)?;
        match text.contains('\0') {
            true => Err(Malformed::Nul),
            false => Ok(text.to_owned()),
        }
    }

    /// Skips MQTT 5's properties, none of which affects the bridge.
    fn properties(&mut self, version: Version) -> Result<(), Malformed> {
        if version == Version::V311 {
            return Ok(());
        }
        let mut length = 0;
        for index in 0..4 {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                self.take(length)?;
                return Ok(());
            }
        }
        Err(Malformed::RemainingLength)
    }

    /// Skips MQTT 5's reason code and properties, which may be omitted.
    fn reason(&mut self, version: Version) -> Result<(), Malformed> {
        if version == Version::V5 && !self.rest.is_empty() {
            self.byte()?;
            if !self.rest.is_empty() {
                self.properties(version)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(Malformed::Trailing { extra }),
        }
    }
}
