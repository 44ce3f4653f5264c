//! What the bridge publishes to us: configs, commands and error reports, and the acknowledgements owed for them.

use std::collections::VecDeque;

use super::{Gateway, Ticket, devices::Awaiting, subscriptions::Turn};
use crate::{
    clock::Moment,
    command::{DeliveryId, Subscription},
    error::Failure,
    error_report::ErrorReport,
    event::Event,
    mqtt::{Connection, PacketId, Publish, QoS, SubAckCode},
    options::Acknowledge,
    topic::{self, Incoming},
};

/// The deliveries of this connection that are not yet acknowledged, oldest first.
#[derive(Debug)]
pub(crate) struct Inbox {
    owed: VecDeque<Owed>,
    /// The delivery at the front of `owed`.
    front: u64,
    /// The SUBACK of the errors topic that is due.
    errors: Option<Awaiting>,
}

/// One delivery.
#[derive(Debug)]
struct Owed {
    /// What to acknowledge; nothing at QoS 0.
    packet_id: Option<PacketId>,
    is_given: bool,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            owed: VecDeque::new(),
            front: 1,
            errors: None,
        }
    }

    /// Deliveries not yet acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    fn deliver(&mut self, packet_id: Option<PacketId>, is_given: bool) -> DeliveryId {
        let delivery = DeliveryId(self.front + self.owed.len() as u64);
        self.owed.push_back(Owed {
            packet_id,
            is_given,
        });
        delivery
    }

    /// Whether this is a copy of a delivery that waits for its acknowledgement.
    fn is_copy(&self, publish: &Publish) -> bool {
        publish.dup
            && publish.packet_id.is_some()
            && self
                .owed
                .iter()
                .any(|owed| owed.packet_id == publish.packet_id)
    }

    /// The user has this delivery. One of an earlier connection changes nothing.
    fn give(&mut self, delivery: DeliveryId) {
        let owed = delivery
            .0
            .checked_sub(self.front)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(owed) = owed.and_then(|at| self.owed.get_mut(at)) {
            owed.is_given = true;
        }
    }

    /// Whether the oldest delivery is to be acknowledged, for acknowledgements go in the order of the messages
    /// [MQTT-4.6.0-2].
    fn has_given(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.is_given)
    }

    fn pop_given(&mut self) -> Option<PacketId> {
        let owed = self.owed.pop_front()?;
        self.front += 1;
        owed.packet_id
    }

    /// The connection is gone: nothing is owed on it any more.
    pub(crate) fn clear(&mut self) {
        self.front += self.owed.len() as u64;
        self.owed.clear();
        self.errors = None;
    }
}

impl Gateway {
    /// Writes the SUBSCRIBE of the errors topic, at QoS 0 as the bridge asks. Nothing waits for its answer.
    pub(super) fn subscribe_to_errors(&mut self, now: Moment) {
        let filter = topic::errors_filter(self.client_id.gateway());
        let Some(link) = &mut self.link else {
            return;
        };
        let packet_id = link.subscribe(&filter, QoS::AtMostOnce, Ticket::Errors);
        let awaiting = self.await_answer(packet_id, self.options.ack_timeout, now);
        self.inbox.errors = Some(awaiting);
    }

    pub(super) fn on_errors_suback(&mut self, code: SubAckCode) {
        if let Some(awaiting) = self.inbox.errors.take() {
            self.devices.settle(awaiting);
        }
        if code == SubAckCode::Failure {
            let failure = Failure::ErrorsTopicRefused;
            self.emit(Event::ErrorsTopicUnavailable { failure });
        }
    }

    pub(super) fn on_errors_timed_out(&mut self) {
        if let Some(awaiting) = self.inbox.errors.take() {
            self.quarantine(awaiting.packet_id);
            let failure = Failure::TimedOut(self.options.ack_timeout);
            self.emit(Event::ErrorsTopicUnavailable { failure });
        }
    }

    /// A PUBLISH came. Every one is acknowledged, wanted or not [MQTT-4.5.0-2].
    pub(super) fn on_publish(&mut self, now: Moment) {
        let Some(publish) = self.link.as_mut().and_then(Connection::take_publish) else {
            return;
        };
        if self.inbox.is_copy(&publish) {
            self.stats.duplicates += 1;
            return;
        }
        match topic::parse(&publish.topic) {
            Some(Incoming::Errors { gateway }) if gateway == self.client_id.gateway().as_str() => {
                self.acknowledge_at_once(&publish);
                self.on_error_message(publish, now);
            }
            Some(Incoming::Config { device }) => {
                let expected = self.expected(device, Subscription::Config);
                self.on_message(expected, publish, 0);
            }
            Some(Incoming::Command { device, subfolder }) => {
                let expected = self.expected(device, Subscription::Commands);
                let subfolder = subfolder.map_or(0, str::len);
                self.on_message(expected, publish, subfolder);
            }
            _ => self.on_message(None, publish, 0),
        }
    }

    /// The device and subscription that a message is for, if somebody asked for it.
    fn expected(&self, device: &str, subscription: Subscription) -> Option<Turn> {
        let device = self.devices.find(device)?;
        let wish = self.devices.at(device).subscriptions.at(subscription);
        wish.is_expected().then_some(Turn {
            device,
            subscription,
        })
    }

    /// `subfolder` is the length of a command's, at the end of its topic; 0 for none.
    fn on_message(&mut self, expected: Option<Turn>, publish: Publish, subfolder: usize) {
        let Some(Turn {
            device,
            subscription,
        }) = expected
        else {
            self.acknowledge_at_once(&publish);
            self.emit(Event::Unrequested {
                topic: publish.topic,
                payload: publish.payload,
            });
            return;
        };
        let is_given = self.options.acknowledge == Acknowledge::WhenQueued;
        let delivery = self.inbox.deliver(publish.packet_id, is_given);
        let device = self.devices.key(device);
        let payload = publish.payload;
        self.emit(match subscription {
            Subscription::Config => Event::Config {
                device,
                payload,
                delivery,
            },
            Subscription::Commands => Event::Command {
                device,
                subfolder: end_of(publish.topic, subfolder),
                payload,
                delivery,
            },
        });
    }

    fn acknowledge_at_once(&mut self, publish: &Publish) {
        if publish.packet_id.is_some() {
            self.inbox.deliver(publish.packet_id, true);
        }
    }

    fn on_error_message(&mut self, publish: Publish, now: Moment) {
        match ErrorReport::parse(&publish.payload) {
            Ok(report) => self.on_error_report(report, now),
            Err(error) => {
                self.emit(Event::UnreadableErrorReport {
                    payload: publish.payload,
                    error,
                });
            }
        }
    }

    /// The user has a delivery.
    pub(super) fn give_acknowledgement(&mut self, delivery: DeliveryId) {
        self.inbox.give(delivery);
    }

    /// Writes the acknowledgement that is next, if one is; gives whether it was.
    pub(super) fn send_acknowledgement(&mut self) -> bool {
        if !self.inbox.has_given() {
            return false;
        }
        let Some(link) = self.link.as_mut().filter(|link| link.has_room(4)) else {
            return false;
        };
        if let Some(packet_id) = self.inbox.pop_given() {
            link.acknowledge(packet_id);
        }
        true
    }
}

/// The last `len` bytes of a text, in its own memory; nothing if there are none.
fn end_of(mut text: String, len: usize) -> Option<String> {
    text.drain(..text.len() - len);
    Some(text).filter(|end| !end.is_empty())
}
