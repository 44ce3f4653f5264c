//! Random sessions with a store, against a plain model of what must be on the disk.

mod model;

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Options, Publication,
    message::{Priority, QoS},
    options::{OnStoreFailure, Overflow},
    quota::Quota,
    store::StoreFailureKind,
};
use proptest::{collection::vec, prelude::*};

use self::model::Model;
use super::{
    super::peer::{Harness, Sent, UNIX_NOW, seconds},
    Kit, lingering,
};
use crate::cases::config;

/// The devices that publish; the first is the gateway.
const DEVICES: [&str; 3] = ["gw-1", "device-1", "device-2"];

/// What a session may store.
const MAX_BYTES: usize = 4_000;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        device: usize,
        is_state: bool,
        is_volatile: bool,
        is_urgent: bool,
        expires: bool,
    },
    Cancel(usize),
    /// Acknowledges one of the packets in flight.
    Acknowledge(usize),
    /// Takes so many operations.
    Take(usize),
    /// Takes all operations, and answers.
    Stored,
    Failed,
    Wait(u64),
    Cut,
    Connect,
    Attach(usize),
    Detach(usize),
    /// The bridge refuses the attaches under way.
    Refuse,
    /// Ends the process, and begins another one with what is durable.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let publish = (0..3_usize, any::<[bool; 4]>(), any::<bool>()).prop_map(
        |(device, [is_state, volatile, urgent, expires], rarely)| Step::Publish {
            device,
            is_state,
            is_volatile: volatile && rarely,
            is_urgent: urgent && rarely,
            expires: expires && !rarely,
        },
    );
    prop_oneof![
        16 => publish,
        2 => (0..6_usize).prop_map(Step::Cancel),
        8 => (0..4_usize).prop_map(Step::Acknowledge),
        4 => (1..4_usize).prop_map(Step::Take),
        8 => Just(Step::Stored),
        2 => Just(Step::Failed),
        4 => (0..2_500_u64).prop_map(Step::Wait),
        2 => Just(Step::Cut),
        3 => Just(Step::Connect),
        1 => (1..3_usize).prop_map(Step::Attach),
        1 => (1..3_usize).prop_map(Step::Detach),
        1 => Just(Step::Refuse),
        1 => Just(Step::Crash),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    any::<[bool; 4]>().prop_map(|[lingers, refuses, drops, is_paced]| {
        let mut options = lingering(match lingers {
            true => seconds(1),
            false => Duration::ZERO,
        });
        if !is_paced {
            options.quota = Quota::unpaced();
        }
        options.quota.max_telemetry_bytes = 16;
        options.quota.max_state_bytes = 16;
        options.device_queue.messages = 8;
        options.durability.max_bytes = MAX_BYTES;
        options.durability.on_failure = match refuses {
            true => OnStoreFailure::Refuse,
            false => OnStoreFailure::Memory,
        };
        options.overflow = match drops {
            true => Overflow::DropOldest,
            false => Overflow::Reject,
        };
        options
    })
}

/// A session, and the model that follows it.
struct Session {
    kit: Kit,
    options: Options,
    model: Model,
    /// Packets that were sent on this connection and not acknowledged: their identifiers, and whether they are attaches.
    unanswered: Vec<(u16, Option<String>)>,
}

impl Session {
    fn new(options: Options) -> Self {
        let mut kit = Kit::from(Harness::dialing(options.clone()));
        kit.begin_attach("device-1");
        kit.begin_attach("device-2");
        Self {
            kit,
            options,
            model: Model::default(),
            unanswered: Vec::new(),
        }
    }

    fn key(&self, device: usize) -> Option<DeviceKey> {
        let id = DEVICES[device].try_into().unwrap();
        self.kit.gateway.device_key(&id)
    }

    fn run(&mut self, step: &Step) {
        let now = self.kit.now;
        match step {
            Step::Publish { .. } => self.publish(step),
            Step::Cancel(back) => {
                let op = self.model.newest_unended().nth(*back);
                op.into_iter().for_each(|op| self.kit.cancel(op));
            }
            Step::Acknowledge(at) => {
                if *at < self.unanswered.len() {
                    let (id, _) = self.unanswered.remove(*at);
                    self.kit.puback(id);
                }
            }
            Step::Take(count) => (0..*count).for_each(|_| self.take()),
            Step::Stored => self.answer(),
            Step::Failed => self.kit.fail(StoreFailureKind::Full),
            Step::Wait(millis) => self.kit.wait(Duration::from_millis(*millis)),
            Step::Cut => {
                self.unanswered.clear();
                self.kit.lose_connection();
            }
            Step::Connect => self.connect(),
            Step::Attach(device) => {
                let id = DEVICES[*device].try_into().unwrap();
                let auth = DeviceAuth::ByAssociation;
                let _ = self.kit.gateway.attach(id, auth, UNIX_NOW, now);
            }
            Step::Detach(device) => {
                if let Some(key) = self.key(*device) {
                    self.kit.gateway.detach(key, now).unwrap();
                }
            }
            Step::Refuse => {
                for (id, device) in std::mem::take(&mut self.unanswered) {
                    match device {
                        Some(device) => {
                            self.kit
                                .report("GATEWAY_ATTACHMENT_ERROR", &device, Some(id));
                        }
                        None => self.unanswered.push((id, None)),
                    }
                }
            }
            Step::Crash => self.crash(),
        }
        self.read();
        self.model.check(&self.kit);
    }

    fn publish(&mut self, step: &Step) {
        let Step::Publish {
            device,
            is_state,
            is_volatile,
            is_urgent,
            expires,
        } = *step
        else {
            return;
        };
        let Some(key) = self.key(device) else { return };
        let label = self.model.next_label();
        let mut publication = match is_state {
            true => Publication::state(key, label.to_string()),
            false => Publication::telemetry(key, label.to_string()),
        };
        if is_volatile {
            publication = publication.qos(QoS::AtMostOnce);
        }
        if is_urgent && !is_state {
            publication = publication.priority(Priority::Urgent);
        }
        if expires {
            publication = publication.expires_after(seconds(3));
        }
        let now = self.kit.now;
        if let Ok(op) = self.kit.gateway.publish(publication, now) {
            self.model.accept(label, op, device, is_state, is_volatile);
        }
    }

    fn take(&mut self) {
        if let Some(op) = self.kit.next_op() {
            self.model.take(&op);
        }
    }

    fn answer(&mut self) {
        for op in self.kit.ops() {
            self.model.take(&op);
        }
        if self.kit.disk.commit.is_some() {
            self.kit.commit();
            self.model.commit(&self.kit.disk.durable);
        }
    }

    /// Connects if no connection is open.
    fn connect(&mut self) {
        if self.kit.gateway.is_open() {
            return;
        }
        self.kit.wait_for_dial();
        self.kit.transport_up();
        self.kit.connack(0);
    }

    /// Reads what was sent and reported.
    fn read(&mut self) {
        for sent in self.kit.sent() {
            match sent {
                Sent::Subscribe { id, .. } => self.kit.suback(id, 0),
                Sent::Publish {
                    id: Some(id),
                    topic,
                    ..
                } => {
                    let attached = topic.strip_suffix("/attach");
                    let device = attached.and_then(|topic| topic.strip_prefix("/devices/"));
                    self.unanswered.push((id, device.map(str::to_owned)));
                }
                _ => {}
            }
        }
        for event in self.kit.events() {
            self.model.read(event);
        }
    }

    fn crash(&mut self) {
        let durable = self.kit.disk.durable.clone();
        let kit = std::mem::replace(&mut self.kit, Kit::offline());
        let (kit, ops) = kit.restart(self.options.clone());
        self.kit = kit;
        self.unanswered.clear();
        self.model.restart(durable.values().zip(ops));
        let now = self.kit.now;
        self.kit.gateway.open(now).unwrap();
        self.kit.begin_attach("device-1");
    }

    /// Lets the store work until it has nothing to do; without a connection, so that nothing is left to wait for.
    fn come_to_rest(&mut self) {
        self.unanswered.clear();
        self.kit.lose_connection();
        for _ in 0..4 {
            self.answer();
            self.answer();
            self.answer();
            self.kit.wait(seconds(40));
            self.read();
        }
        self.answer();
        assert_eq!(self.kit.ops(), [""; 0]);
        self.model.check(&self.kit);
        self.model.check_at_rest(&self.kit);
    }

    /// Closes, while the store works and the bridge says nothing more.
    fn close(&mut self) {
        let now = self.kit.now;
        self.kit.gateway.close(now);
        for _ in 0..40 {
            self.read();
            self.answer();
            self.kit.wait(Duration::from_millis(500));
        }
        self.kit.lose_connection();
        self.answer();
        self.answer();
        self.read();
        assert!(self.kit.gateway.is_closed());
        assert_eq!(self.kit.gateway.poll_timeout(), None);
        self.model.check(&self.kit);
        self.model.check_at_rest(&self.kit);
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn the_disk_has_what_must_be_there_in_any_session(
        options in options(),
        steps in vec(step(), 1..80),
        closes: bool,
    ) {
        let mut session = Session::new(options);
        for step in &steps {
            session.run(step);
        }
        match closes {
            true => session.close(),
            false => session.come_to_rest(),
        }
    }
}
