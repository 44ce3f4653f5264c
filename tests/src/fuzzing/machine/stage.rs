//! The stages that a gateway reaches before it receives the fuzzer's bytes.

use iotcore_gateway::DeviceAuth;

use super::*;
use peer::Question;

use crate::packets;

/// The stages of a gateway, from its first connection to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::fuzzing) enum Stage {
    /// CONNECT was written.
    Connecting,
    /// CONNACK was received.
    Open,
    /// The attaches of three devices are in flight.
    Attaching,
    /// Two devices are attached, with operations of every kind in flight; the attach of the third is.
    Busy,
    /// The same, while one device is being detached.
    Detaching,
    /// Everything was acknowledged.
    Quiet,
    /// The connection was lost with everything in flight, and the next one is open.
    Again,
    /// The token is about to expire: the gateway waits for operations in flight before it disconnects.
    Refreshing,
    /// Closing with everything in flight.
    Closing,
    /// DISCONNECT is pending to be written.
    Leaving,
}

impl Stage {
    /// All stages.
    pub(in crate::fuzzing) const ALL: [Self; 10] = [
        Self::Connecting,
        Self::Open,
        Self::Attaching,
        Self::Busy,
        Self::Detaching,
        Self::Quiet,
        Self::Again,
        Self::Refreshing,
        Self::Closing,
        Self::Leaving,
    ];
}

/// The lifetime of a token, unless a step has its own.
pub(in crate::fuzzing) const LIFETIME: Duration = Duration::from_secs(3_600);

/// A token lifetime that requires a refresh after four fifths of it, while everything is still in flight.
const SHORT_LIFETIME: Duration = Duration::from_secs(20);

impl Machine {
    /// Brings a gateway that was not opened to a stage, without faults.
    pub(in crate::fuzzing) fn reach(&mut self, stage: Stage) {
        let op = self.apply(Input::Open).op().expect("a gateway opens");
        self.accept(op);
        self.connect(match stage {
            Stage::Refreshing => SHORT_LIFETIME,
            _ => LIFETIME,
        });
        if stage == Stage::Connecting {
            return;
        }
        self.answer(|_| true);
        if stage == Stage::Open {
            return;
        }
        let devices = DEVICES.map(|id| self.attach(id));
        self.transmit_all();
        if stage == Stage::Attaching {
            return;
        }
        self.keep_busy(devices);
        match stage {
            Stage::Detaching => self.detach(devices[0]),
            Stage::Quiet => self.answer(|_| true),
            Stage::Again => {
                self.disconnect(TransportEnd::Broken);
                self.wait(Duration::from_secs(5));
                self.connect(LIFETIME);
                self.answer(|question| matches!(question, Question::Connect));
            }
            Stage::Refreshing => self.wait(SHORT_LIFETIME * 4 / 5),
            Stage::Closing => self.close(),
            Stage::Leaving => {
                self.answer(|_| true);
                self.close();
            }
            _ => {}
        }
    }

    fn attach(&mut self, id: &str) -> DeviceKey {
        let id = id.try_into().expect("a legal id");
        let input = Input::Attach {
            device: id,
            auth: DeviceAuth::ByAssociation,
            unix_now: UNIX_NOW,
        };
        let attached = self.apply(input).attached();
        let (device, op) = attached.expect("a device can be attached");
        self.accept(op);
        device
    }

    /// Starts operations of every kind for every device.
    fn keep_busy(&mut self, devices: [DeviceKey; 3]) {
        let mut attaches = 0;
        self.answer(|question| {
            attaches += usize::from(matches!(question, Question::Attach(_)));
            matches!(question, Question::Attach(_)) && attaches < 3
        });
        for device in devices.into_iter().chain([self.gateway.own_key()]) {
            for subscription in [Subscription::Config, Subscription::Commands] {
                let subscribe = Input::Subscribe {
                    device,
                    subscription,
                    qos: QoS::AtLeastOnce,
                };
                let wish = self.apply(subscribe).op();
                self.accept(wish.expect("a device can subscribe"));
            }
            for publication in [
                Publication::telemetry(device, "one"),
                Publication::telemetry(device, "two"),
                Publication::telemetry(device, "once").qos(QoS::AtMostOnce),
                Publication::state(device, "on"),
                Publication::state(device, "off"),
            ] {
                self.publish(publication);
            }
        }
        if self.setup.has_large {
            for device in devices {
                self.publish(Publication::telemetry(device, vec![b'x'; LARGE]));
            }
        }
        // Last, so that the others have the identifiers that they always had.
        for device in devices {
            let alarm = Publication::telemetry(device, "alarm").priority(Priority::Urgent);
            self.publish(alarm.expires_after(Duration::from_secs(3)));
            self.publish(Publication::telemetry(device, "stale").expires_after(Duration::ZERO));
        }
        self.transmit_all();
        // The identifier of the oldest is in quarantine.
        self.cancel_ends();
    }

    /// Publishes, if there is room.
    fn publish(&mut self, publication: Publication) {
        if let Ok(op) = self.apply(Input::Publish(publication)).published() {
            self.accept(op);
        }
    }

    fn detach(&mut self, device: DeviceKey) {
        let op = self.apply(Input::Detach(device)).op();
        self.accept(op.expect("a device can be detached"));
    }

    /// Transmits everything, and answers the packets that are to be answered until there are no new ones.
    fn answer(&mut self, mut is_answered: impl FnMut(&Question) -> bool) {
        loop {
            self.transmit_all();
            let Some(peer) = &mut self.transport else {
                return;
            };
            let questions = peer.take_questions(|question| is_answered(question));
            let answers = questions.into_iter().flat_map(Question::answer);
            let answers: Vec<u8> = answers.collect();
            if answers.is_empty() {
                return;
            }
            self.take_events(usize::MAX);
            self.input(&answers, usize::MAX);
        }
    }
}

impl Question {
    /// Returns the positive answer.
    fn answer(self) -> Vec<u8> {
        match self {
            Self::Connect => packets::connack(0),
            Self::Attach(packet_id) | Self::Publish(packet_id) => packets::puback(packet_id),
            Self::Subscribe(packet_id) => packets::suback(packet_id, 1),
            Self::Unsubscribe(packet_id) => packets::unsuback(packet_id),
            Self::Ping => packets::PINGRESP.to_vec(),
        }
    }
}
