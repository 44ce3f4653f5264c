//! Messages from the bridge: configs, commands and error reports, and the acknowledgements owed for them.

use super::{
    devices::{Feed, SubscriptionKey},
    fingerprint::Fingerprint,
    online::{Online, Recipient},
    session::Session,
};
use crate::{
    clock::Moment,
    command::DeliveryId,
    error_report::ErrorReport,
    event::Event,
    mqtt::Publish,
    options::Acknowledge,
    topic::{self, IncomingTopic},
};

impl Session {
    /// Handles a PUBLISH. Every one is acknowledged, subscribed or not [MQTT-4.5.0-2].
    pub(super) fn on_publish(&mut self, online: &mut Online, now: Moment) {
        let Some(publish) = online.link.take_publish() else {
            return;
        };
        if online.owed.is_copy(&publish) {
            self.stats.duplicates += 1;
            return;
        }
        match topic::parse(&publish.topic) {
            Some(IncomingTopic::Errors { gateway })
                if gateway == self.client_id.gateway().as_str() =>
            {
                online.owed.deliver(&publish, None, true, now);
                self.on_error_message(online, publish, now);
            }
            Some(IncomingTopic::Config { device }) => {
                let expected = self.expected(device, Feed::Config);
                self.on_message(online, expected, publish, 0, now);
            }
            Some(IncomingTopic::Command { device, subfolder }) => {
                let expected = self.expected(device, Feed::Commands);
                let subfolder = subfolder.map_or(0, str::len);
                self.on_message(online, expected, publish, subfolder, now);
            }
            _ => self.on_message(online, None, publish, 0, now),
        }
    }

    /// Returns the key of the subscription that a message belongs to, if there is one.
    fn expected(&self, device: &str, feed: Feed) -> Option<SubscriptionKey> {
        let device = self.devices.find(device)?;
        let key = SubscriptionKey { device, feed };
        let is_expected = self.devices.subscription(key).is_expected();
        is_expected.then_some(key)
    }

    /// Delivers a config or command. `subfolder` is the length of a command's subfolder, at the end of its topic; 0 for
    /// none.
    fn on_message(
        &mut self,
        online: &mut Online,
        expected: Option<SubscriptionKey>,
        publish: Publish,
        subfolder: usize,
        now: Moment,
    ) {
        let recipient = expected.map(|key| Recipient {
            device: key.device,
            is_config: key.feed == Feed::Config,
        });
        let is_taken = expected.is_some_and(|key| self.was_taken(key, &publish));
        let is_given = is_taken || self.options.acknowledge == Acknowledge::Automatic;
        let number = online.owed.deliver(&publish, recipient, is_given, now);
        if is_taken {
            self.stats.duplicates += 1;
            return;
        }
        let Some(key) = expected else {
            self.emit(Event::Unrequested {
                topic: publish.topic,
                payload: publish.payload,
            });
            return;
        };
        if self.devices.at(key.device).is_deaf {
            online.owed.postpone(number, now);
        }
        let device = self.devices.key(key.device);
        let delivery = DeliveryId { number, device };
        let payload = publish.payload;
        self.emit(match key.feed {
            Feed::Errors => return,
            Feed::Config => Event::Config {
                device,
                payload,
                delivery,
            },
            Feed::Commands => Event::Command {
                device,
                subfolder: end_of(publish.topic, subfolder),
                payload,
                delivery,
            },
        });
    }

    /// Returns whether this is the config that the user has acknowledged too late: the renewed subscription has brought it
    /// again.
    fn was_taken(&mut self, key: SubscriptionKey, publish: &Publish) -> bool {
        let taken = self.devices.subscription_mut(key).taken.take();
        taken.is_some_and(|taken| taken == Fingerprint::of(publish))
    }

    fn on_error_message(&mut self, online: &mut Online, publish: Publish, now: Moment) {
        match ErrorReport::parse(&publish.payload) {
            Ok(report) => {
                self.act_on_report(online, &report, now);
                self.emit(Event::ErrorReport(report));
            }
            Err(error) => {
                self.emit(Event::UnreadableErrorReport {
                    payload: publish.payload,
                    error,
                });
            }
        }
    }
}

/// Returns the last `len` bytes of a string, in an allocation of its own; `None` if `len` is 0.
fn end_of(mut text: String, len: usize) -> Option<String> {
    text.drain(..text.len() - len);
    Some(text).filter(|end| !end.is_empty())
}
