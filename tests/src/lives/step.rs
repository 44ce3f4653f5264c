//! The steps of a life, drawn.

mod faults;

use core::time::Duration;

use iotcore_gateway::{DeviceAuth, DeviceId, Input, command_error::PublishErrorKind, message::QoS};

use super::{
    DEVICES,
    life::Death,
    message::{Draft, Lane, payload},
    setup::LARGEST,
    world::World,
};

impl World {
    /// Plays some lives, each of which ends badly, or in order.
    pub(super) fn live_on(&mut self) {
        let lives = 2 + self.random.below(4);
        for _ in 0..lives {
            let options = self.setup.options(&mut self.random);
            self.model.note(|| format!("a life begins: {options:?}"));
            self.fail_reads();
            self.begin(options);
            self.live();
            if self.model.is_broken() {
                return;
            }
            let death = self.random.pick(&[Death::Killed, Death::PowerCut]);
            self.die(death);
        }
    }

    fn live(&mut self) {
        if self.random.percent(10) {
            self.link.forget_date();
            self.model.counts.one("dates of 1970");
        }
        if self.random.percent(70) {
            self.attach_some();
            self.open();
        }
        let closes = self.random.percent(25);
        for _ in 0..4 + self.random.below(40) {
            self.act();
            self.serve_store();
            if !self.is_alive() {
                return;
            }
            if self.link.gateway.is_closed() {
                self.model.counts.one("lives that gave up connecting");
                return self.check_closed();
            }
        }
        if closes {
            self.close();
        }
    }

    fn act(&mut self) {
        match self.random.below(100) {
            0..38 => {
                for _ in 0..1 + self.random.below(5) {
                    self.publish();
                }
            }
            38..66 => self.wait(),
            66..71 => self.attach(),
            71..73 => self.detach(),
            73..77 => self.cancel(),
            77..79 => self.open(),
            79..86 => self.disturb_network(),
            86..91 => self.disturb_bridge(),
            91..97 => self.disturb_disk(),
            97..99 => self.dies_after = Some(self.random.below(12)),
            _ => {
                self.link.set_clock_error(0);
            }
        }
    }

    fn wait(&mut self) {
        let millis = match self.random.below(10) {
            0..3 => self.random.below(60),
            3..6 => 100 + self.random.below(900),
            6..9 => 1_000 + self.random.below(4_000),
            _ => 10_000 + self.random.below(60_000),
        };
        self.run(Duration::from_millis(millis));
    }

    pub(super) fn open(&mut self) {
        self.model.note(|| "open".into());
        let _ = self.link.apply(Input::Open);
    }

    fn attach_some(&mut self) {
        for device in 1..DEVICES.len() {
            if self.random.percent(60) {
                self.attach_device(device);
            }
        }
    }

    fn attach(&mut self) {
        let device = 1 + self.random.below(DEVICES.len() as u64 - 1) as usize;
        self.attach_device(device);
    }

    pub(super) fn attach_device(&mut self, device: usize) {
        self.model.note(|| format!("attach {device}"));
        let input = Input::Attach {
            device: DEVICES[device].try_into().expect("legal"),
            auth: DeviceAuth::ByAssociation,
            unix_now: self.link.unix_now(),
        };
        if let Ok((key, _)) = self.link.apply(input).attached() {
            self.keys[device] = Some(key);
        }
    }

    /// Detaches a device, also one that nobody has claimed.
    fn detach(&mut self) {
        let device = 1 + self.random.below(DEVICES.len() as u64 - 1) as usize;
        let id = DeviceId::try_from(DEVICES[device]).expect("legal");
        if let Some(key) = self.link.gateway.device_key(&id) {
            self.model.note(|| format!("detach {device}"));
            let _ = self.link.apply(Input::Detach(key));
        }
    }

    fn cancel(&mut self) {
        let live = self.model.live();
        if !live.is_empty() {
            let op = self.random.pick(&live);
            self.model.note(|| format!("cancel {op}"));
            let _ = self.link.apply(Input::Cancel(op));
        }
    }

    fn draft(&mut self) -> Draft {
        let number = self.model.next_number();
        let random = &mut self.random;
        let len = match random.below(20) {
            0 => random.below(LARGEST as u64 + 1),
            1..5 => random.below(800),
            _ => random.below(100),
        };
        let lane = match random.below(10) {
            0..2 => Lane::State,
            2 => Lane::Urgent,
            _ => Lane::Ordinary,
        };
        let expires = random.percent(10);
        Draft {
            device: random.pick(&[0, 1, 1, 2, 2, 3, 4]),
            lane,
            qos: match random.percent(12) {
                true => QoS::AtMostOnce,
                false => QoS::AtLeastOnce,
            },
            payload: payload(number, len as usize),
            has_subfolder: lane != Lane::State && random.percent(10),
            is_tagged: random.percent(20),
            expires_after: expires.then(|| Duration::from_secs(1 + random.below(120))),
        }
    }

    fn publish(&mut self) {
        let draft = self.draft();
        self.publish_draft(draft);
    }

    /// Publishes, if the device is attached and there is room.
    pub(super) fn publish_draft(&mut self, draft: Draft) {
        let Some(key) = self.keys[draft.device] else {
            return;
        };
        self.model.now = self.link.now();
        let publication = draft.publication(key);
        let is_stored = draft.qos == QoS::AtLeastOnce;
        // What was restored may take more than there is.
        let limit = self.link.gateway.stats().stored_bytes.max(self.max_bytes);
        match self.link.apply(Input::Publish(publication)).published() {
            Ok(op) => {
                self.model.accept(draft, op);
                let reserved = self.link.gateway.stats().stored_bytes;
                if is_stored && reserved > limit {
                    self.model.find(format!("{reserved} bytes are reserved"));
                }
            }
            Err(error) => self.model.counts.one(match error.kind {
                PublishErrorKind::Blocked => "blocked",
                PublishErrorKind::StoreFailed => "refused because the store failed",
                _ => "refused otherwise",
            }),
        }
        self.serve_store();
    }
}
