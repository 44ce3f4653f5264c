//! Getters: the current state.

use super::{
    Gateway,
    devices::{DeviceInfo, DeviceState, LastFailure, OWN},
};
use crate::{
    command::{DeliveryId, DeviceKey},
    id::{ClientId, DeviceId},
    mqtt::Kind,
    stats::Stats,
    unsent::Unsent,
};

/// Getters: the current state.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::{*, auth::UnixTime, device::DeviceState};
/// # let id = ClientId::new("plant".try_into()?, "us-central1".try_into()?, "sensors".try_into()?, "gateway-1".try_into()?);
/// # let (now, unix_now) = (Instant::now(), UnixTime::from_secs(1_795_374_000));
/// let mut gateway = Gateway::new(id, Options::default(), 42)?;
/// let (boiler, _) = gateway.attach("boiler-7".try_into()?, DeviceAuth::ByAssociation, unix_now, now)?;
/// gateway.publish(Publication::telemetry(boiler, "71"), now)?;
///
/// assert_eq!(gateway.device_state(boiler), Some(DeviceState::Waiting)); // for a connection
/// for device in gateway.devices() {
///     println!("{}: {} queued, {} in flight", device.id, device.queued, device.in_flight);
/// }
/// let unsent: Vec<_> = gateway.unsent().collect(); // for the next process
/// assert_eq!(unsent[0].payload, "71");
/// assert_eq!(gateway.stats().connections, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Gateway {
    /// Returns the client id that the gateway connects with.
    pub fn client_id(&self) -> &ClientId {
        &self.session.client_id
    }

    /// Returns whether the bridge has accepted the connection, and it has not ended.
    pub fn is_open(&self) -> bool {
        self.lifecycle.is_open()
    }

    /// Returns whether the gateway is permanently closed.
    pub fn is_closed(&self) -> bool {
        self.lifecycle.is_closed()
    }

    /// Returns the key of the gateway itself, which is a device too.
    pub fn own_key(&self) -> DeviceKey {
        self.session.devices.key(OWN)
    }

    /// Returns the key of the device with this id, if it is attached or to be attached.
    pub fn device_key(&self, id: &DeviceId) -> Option<DeviceKey> {
        let devices = &self.session.devices;
        Some(devices.key(devices.find(id.as_str())?))
    }

    /// Returns the id of a device, unless it has been detached.
    pub fn device_id(&self, device: DeviceKey) -> Option<&DeviceId> {
        let devices = &self.session.devices;
        Some(&devices.at(devices.resolve(device)?).id)
    }

    /// Returns the state of a device, unless it has been detached.
    pub fn device_state(&self, device: DeviceKey) -> Option<DeviceState> {
        let devices = &self.session.devices;
        let device = devices.at(devices.resolve(device)?);
        Some(device.life.state(self.is_open()))
    }

    /// Returns a look at the gateway itself and at every device that is attached or to be attached.
    pub fn devices(&self) -> impl Iterator<Item = DeviceInfo> {
        let (session, is_open) = (&self.session, self.is_open());
        session.devices.iter().map(move |(slot, device)| {
            let last_failure = device.last_failure.as_ref();
            DeviceInfo {
                key: session.devices.key(slot),
                id: device.id.clone(),
                state: device.life.state(is_open),
                queued: session.outbox.len_of(slot),
                queued_bytes: session.outbox.bytes_of(slot),
                in_flight: session.outbox.in_flight_of(slot),
                suspected: session.outbox.suspected_of(slot),
                last_failure: last_failure.and_then(|(failure, at)| {
                    let (failure, at) = (failure.as_ref().clone(), session.clock.instant(*at)?);
                    Some(LastFailure { failure, at })
                }),
            }
        })
    }

    /// Returns every publication that was accepted and has not ended, in the order of acceptance. Keep them across a
    /// restart of the process, and publish them again then.
    pub fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.session.unsent()
    }

    /// Returns whether [`acknowledge`](Self::acknowledge) still has an effect on a delivery: it came at QoS 1 on this
    /// connection, and was neither acknowledged nor released, or it is the newest config of its device.
    pub fn awaits_acknowledgement(&self, delivery: DeliveryId) -> bool {
        let online = self.lifecycle.online();
        online.is_some_and(|online| online.owed.awaits(delivery.number))
    }

    /// Returns the monitoring counters.
    pub fn stats(&self) -> Stats {
        let session = &self.session;
        let online = self.lifecycle.online();
        let latency = online.map(|online| online.link.round_trip());
        let latency = session.latency.followed_by(latency.unwrap_or_default());
        Stats {
            latency: latency.smoothed,
            worst_latency: latency.worst,
            unsolicited: session.stats.unsolicited
                + online.map_or(0, |online| online.link.unsolicited()),
            delays: session.outbox.delays().count,
            delayed: session.outbox.delays().total,
            queued: session.outbox.len(),
            queued_bytes: session.outbox.bytes(),
            in_flight: online.map_or(0, |online| online.flight.in_flight()),
            skipped: online.map_or(0, |online| {
                online.flight.in_flight() - online.link.in_window(Kind::Publication)
            }),
            events: session.events.len(),
            unacknowledged: online.map_or(0, |online| online.owed.len()),
            reading_paused_since: online.and_then(|online| session.reading_paused_since(online)),
            received: online.map_or(0, |online| online.link.received()),
            devices: session.devices.len(),
            #[cfg(feature = "store")]
            stored: session.outbox.stored().0,
            #[cfg(feature = "store")]
            stored_bytes: session.outbox.stored().1,
            ..session.stats
        }
    }
}
