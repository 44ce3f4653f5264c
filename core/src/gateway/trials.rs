//! When suspects are sent: last and alone, so that a peer that closes the connection again shows which packet it is.
//!
//! | stage | everything else | ends |
//! |---|---|---|
//! | waiting | goes on | after [`QUIET`] without a packet if all are answered, after [`PATIENCE`] otherwise |
//! | holding, after [`PATIENCE`] of waiting | is held back | the same |
//! | next | is held back | once the next suspect is queued, or there is none |
//! | trying | is held back | with the answer: the next suspect follows; [`ALONE`] after its hand-over: it is not to blame, and others go on |
//! | handing over, at QoS 0 | is held back | once all of it is handed over: it is not to blame, and the next suspect follows |
//!
//! Acknowledgements and PINGREQ are never held back. After [`PATIENCE`] of trials others have their turn. The timers run
//! in `handle_timeout` only. Devices take turns, also from connection to connection, and so do the packets of a device, so
//! that one that ends connections does not keep the others from their trial. While a device has its last messages to send
//! before it is detached, there are no trials: it has not much time.

use super::{
    devices::{Device, Feed, Life, SubscriptionKey},
    online::{Online, Phase, Stage, Suspect, SuspectPacket, Trials},
    session::Session,
};
use crate::{
    clock::{Moment, PeerTime},
    command::Slot,
    error::Failure,
    mqtt::{Found, PacketId},
    time::Duration,
};

/// How long nothing was sent before a trial, if everything is answered.
const QUIET: Duration = Duration::from_secs(10);

/// How long a trial waits: for others to stop, and for answers once they have; and for how long trials may hold others
/// back.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a suspect is alone after it was handed over. A close later than that is no strike.
const ALONE: Duration = Duration::from_secs(10);

impl Session {
    /// Starts the trials of a newly accepted connection, if there are suspects.
    pub(super) fn start_trials(&mut self, online: &mut Online, now: Moment) {
        let peer_now = online.link.peer_clock().time(now);
        online.trials = self.has_suspects().then(|| Trials::new(peer_now));
        self.devices.follow_changes(online.trials.is_some());
    }

    /// Runs the timers that are due.
    pub(super) fn run_trials(&mut self, online: &mut Online, now: Moment) {
        let Some(now) = online.link.peer_clock().time_if_running(now) else {
            return;
        };
        if online.trials.is_none() || self.is_draining() {
            return;
        }
        while let Some(device) = self.outbox.release_trial(self.clock.now()) {
            self.devices.note_change(device);
        }
        let is_due = |at: Option<PeerTime>| at.is_some_and(|at| at <= now);
        let is_quiet = is_due(quiet_at(online));
        if is_due(alone_until(online)) {
            self.acquit_unanswered(online);
        }
        self.look_at_changed(online);
        let has_next = self.next_suspect(online).is_some();
        // It may have to be tried again, if its device is detached meanwhile.
        let is_in_flight = self.has_suspect_in_flight(online);
        let Some(trials) = &mut online.trials else {
            return;
        };
        match trials.stage {
            Stage::Waiting if !trials.has_suspects() && !is_in_flight => self.stop_trials(online),
            Stage::Waiting | Stage::Holding if has_next && is_quiet => {
                trials.stage = Stage::Next { since: now };
            }
            Stage::Waiting if has_next && is_due(Some(trials.since + PATIENCE)) => {
                trials.stage = Stage::Holding;
            }
            _ => {}
        }
    }

    fn has_suspect_in_flight(&self, online: &Online) -> bool {
        let is_suspect = |key| self.outbox.entry(key).is_suspect();
        online.publications().any(is_suspect)
    }

    /// Ends the trial of a suspect that the peer has neither answered nor closed the connection at: it is not to blame, and
    /// an unanswered packet like any other from now on.
    fn acquit_unanswered(&mut self, online: &mut Online) {
        let now = self.clock.now();
        if let Some(trials) = &mut online.trials
            && let Stage::Trying { packet_id, .. } = trials.stage
        {
            trials.pause(online.link.peer_clock().time(now));
            if let Found::InFlight(owner) = online.link.find(packet_id) {
                self.clear_strikes(owner);
            }
            self.acquit_device(online);
        }
    }

    /// Lets the device go on whose publication was sent alone, and is not to blame.
    fn acquit_device(&mut self, online: &mut Online) {
        if let Some(Suspect {
            device,
            packet: SuspectPacket::Publication,
        }) = self.last_tried
            && self.devices.get(device).is_some()
        {
            self.acquit(online, device);
        }
    }

    /// Lets a device go on that was on probation.
    pub(super) fn acquit(&mut self, online: &mut Online, device: Slot) {
        let is_attached = self.is_attached(online, device);
        self.outbox
            .end_probation(&mut online.flight, device, is_attached);
        self.devices.note_change(device);
    }

    /// Lets the device go on whose publication was sent alone, if nothing else of it is suspected.
    fn resume_device(&mut self, online: &mut Online) {
        if let Some(Suspect { device, .. }) = self.last_tried
            && self.devices.get(device).is_some()
            && self.is_attached(online, device)
        {
            self.outbox.open(&mut online.flight, device);
        }
    }

    /// Ends the trials for good: what is not suspected goes out without waiting for them.
    pub(super) fn end_trials(&mut self, online: &mut Online) {
        if online.trials.is_none() {
            return;
        }
        self.stop_trials(online);
        for slot in self.devices.slots() {
            if self.is_attached(online, slot) {
                self.outbox.end_trials(&mut online.flight, slot);
            }
        }
    }

    fn stop_trials(&mut self, online: &mut Online) {
        online.trials = None;
        self.devices.follow_changes(false);
    }

    /// Returns when to call [`run_trials`](Self::run_trials) next.
    pub(super) fn next_trial(&self, online: &Online) -> Option<Moment> {
        if self.is_draining() {
            return None;
        }
        let trials = online.trials.as_ref()?;
        let at = match trials.stage {
            Stage::Waiting => quiet_at(online)
                .into_iter()
                .chain([trials.since + PATIENCE])
                .min()?,
            Stage::Holding => quiet_at(online)?,
            Stage::Next { .. } | Stage::HandingOver { .. } => return None,
            Stage::Trying { .. } => alone_until(online)?,
        };
        let is_waiting = matches!(trials.stage, Stage::Waiting | Stage::Holding);
        if is_waiting && self.next_suspect(online).is_none() {
            let is_running = online.link.peer_clock().paused_since().is_none();
            return self.outbox.next_trial().filter(|_| is_running);
        }
        online.link.peer_clock().machine_time(at)
    }

    /// Queues the next suspect if it may go now. Returns whether everything else is held back.
    #[inline(never)]
    pub(super) fn conduct_trials(&mut self, online: &mut Online, now: Moment) -> bool {
        let peer_now = online.link.peer_clock().time(now);
        while let Some(stage) = online.trials.as_ref().map(|trials| trials.stage) {
            self.look_at_changed(online);
            let stage = match stage {
                Stage::Waiting => return false,
                Stage::Trying { since, packet_id } if !self.is_unanswered(online, packet_id) => {
                    self.acquit_device(online);
                    next_or_wait(since, peer_now)
                }
                Stage::HandingOver { since, end } if online.link.handed_over() >= end => {
                    self.resume_device(online);
                    next_or_wait(since, peer_now)
                }
                // A device that is to be detached has not much time for what it has to send.
                _ if self.is_draining() => {
                    self.resume_device(online);
                    Stage::Waiting
                }
                Stage::Trying { .. } | Stage::HandingOver { .. } => return true,
                Stage::Holding if self.next_suspect(online).is_some() => return true,
                Stage::Next { since } if online.phase == Phase::Open => {
                    match self.send_suspect(online, now) {
                        Sent::Queued(packet_id) => Stage::Trying { since, packet_id },
                        Sent::AtQos0(end) => Stage::HandingOver { since, end },
                        Sent::Later => return true,
                        Sent::None => Stage::Waiting,
                    }
                }
                Stage::Holding | Stage::Next { .. } => Stage::Waiting,
            };
            if let Some(trials) = &mut online.trials {
                match stage {
                    Stage::Waiting => trials.pause(peer_now),
                    stage => trials.stage = stage,
                }
            }
        }
        false
    }

    fn is_draining(&self) -> bool {
        self.drains.next().is_some()
    }

    fn is_unanswered(&self, online: &Online, packet_id: PacketId) -> bool {
        match online.link.find(packet_id) {
            Found::InFlight(owner) => self.owns(packet_id, owner),
            Found::Quarantined | Found::Free => false,
        }
    }

    /// Queues the packet of the next suspect.
    fn send_suspect(&mut self, online: &mut Online, now: Moment) -> Sent {
        loop {
            self.look_at_changed(online);
            let Some(suspect) = self.next_suspect(online) else {
                return Sent::None;
            };
            if self.outbox.holds_all(now) {
                return Sent::Later;
            }
            let Suspect { device, packet } = suspect;
            let sent = match packet {
                SuspectPacket::Attach => self.send_suspected_attach(online, device, now),
                SuspectPacket::Publication => self.send_suspected_publication(online, device, now),
                SuspectPacket::Subscription(feed) => {
                    let key = SubscriptionKey { device, feed };
                    match self.queue_subscription(online, key, now) {
                        Some(packet_id) => Sent::Queued(packet_id),
                        None => Sent::Later,
                    }
                }
            };
            if sent != Sent::Later {
                self.last_tried = Some(suspect);
            }
            match sent {
                Sent::None if packet == SuspectPacket::Attach => {}
                Sent::None => {
                    self.resume_device(online);
                    return sent;
                }
                sent => return sent,
            }
        }
    }

    /// Queues a suspected attach, or requests a new token.
    fn send_suspected_attach(&mut self, online: &mut Online, slot: Slot, now: Moment) -> Sent {
        if !self.has_room_for_control(online, slot) {
            return Sent::Later;
        }
        match self.attach_or_ask(online, slot, now) {
            Some(packet_id) => Sent::Queued(packet_id),
            None => Sent::None,
        }
    }

    fn send_suspected_publication(&mut self, online: &mut Online, slot: Slot, now: Moment) -> Sent {
        let Some(key) = self.outbox.first_suspect(slot) else {
            return Sent::None;
        };
        if self.outbox.is_suspect_held(key, now) {
            return Sent::None;
        }
        if self.outbox.has_expired(key, now) {
            self.give_up(Some(online), key, Failure::Expired);
            return Sent::None;
        }
        if self.outbox.entry(key).packet_size() > online.link.room_with_id() {
            return Sent::Later;
        }
        self.outbox.begin_trial(key);
        self.queue_publication(online, key, now);
        self.devices.note_change(slot);
        match self.outbox.entry(key).packet_id() {
            Some(packet_id) => Sent::Queued(packet_id),
            None => Sent::AtQos0(online.link.queued_end()),
        }
    }

    /// Returns the suspect whose turn it is, of those that may be sent on this connection now.
    fn next_suspect(&self, online: &Online) -> Option<Suspect> {
        let trials = online.trials.as_ref();
        let trials = trials.filter(|_| online.phase == Phase::Open)?;
        trials.next_after(self.last_tried)
    }

    /// Looks again at what is suspected of the devices that have changed.
    fn look_at_changed(&mut self, online: &mut Online) {
        for slot in self.devices.take_changed() {
            let device = self.devices.get(slot);
            let ready = device.map(|device| self.suspects_of(online, slot, device).collect());
            let is_suspected = device.is_some_and(|device| self.is_suspected(slot, device));
            if let Some(trials) = &mut online.trials {
                trials.look_at(slot, is_suspected, ready.unwrap_or_default());
            }
        }
    }

    fn suspects_of<'a>(
        &'a self,
        online: &Online,
        slot: Slot,
        device: &'a Device,
    ) -> impl Iterator<Item = Suspect> + 'a {
        let is_attached = self.is_attached(online, slot);
        let attach = matches!(device.life, Life::Suspected).then_some(SuspectPacket::Attach);
        let publication = is_attached && self.outbox.first_suspect(slot).is_some();
        let publication = publication.then_some(SuspectPacket::Publication);
        let feeds = Feed::of(slot).iter().filter(move |&&feed| {
            let state = self
                .devices
                .subscription(SubscriptionKey { device: slot, feed });
            is_attached && state.is_suspect() && state.needs_packet()
        });
        let subscriptions = feeds.map(|&feed| SuspectPacket::Subscription(feed));
        let packets = [attach, publication].into_iter().flatten();
        packets.chain(subscriptions).map(move |packet| Suspect {
            device: slot,
            packet,
        })
    }
}

/// What became of a suspect whose turn it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Queued(PacketId),
    /// At QoS 0; contains the offset in the stream at which it ends.
    AtQos0(u64),
    /// There is no room for it yet, or the pace of the connection holds it back.
    Later,
    /// It cannot be sent now.
    None,
}

/// Returns when the next trial may begin, unless something is sent or answered before; `None` while bytes wait to be
/// handed over.
fn quiet_at(online: &Online) -> Option<PeerTime> {
    let trials = online.trials.as_ref()?;
    if !online.link.transmit().is_empty() {
        return None;
    }
    let quiet = match online.link.has_unanswered() {
        true => PATIENCE,
        false => QUIET,
    };
    let last_sent = online.link.last_handed_over();
    let since = last_sent.max(trials.last_unanswerable).max(trials.since);
    Some(since + quiet)
}

/// Returns until when the suspect that is tried is alone; `None` until it is handed over.
fn alone_until(online: &Online) -> Option<PeerTime> {
    match online.trials.as_ref()?.stage {
        Stage::Trying { packet_id, .. } => Some(online.link.handed_over_at(packet_id)? + ALONE),
        Stage::Waiting | Stage::Holding | Stage::Next { .. } | Stage::HandingOver { .. } => None,
    }
}

/// Returns the stage after the trial of a suspect that is not to blame, while others are held back since `since`.
fn next_or_wait(since: PeerTime, now: PeerTime) -> Stage {
    match now < since + PATIENCE {
        true => Stage::Next { since },
        false => Stage::Waiting,
    }
}
