//! The devices' tokens, and the dates that the gateway has learnt: a new token is asked for only if the last one is not
//! surely good.

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{
    DeviceKey,
    auth::{Token, UnixTime},
};

use super::{DEVICES, Device, Finding, Model};
use crate::script::Rule;

/// How far a clock may be wrong for the bridge.
const SKEW: Duration = Duration::from_secs(600);

/// A token, and how often its device had been reported when it came.
#[derive(Debug)]
pub(super) struct Given {
    token: Option<Token>,
    expires_at: Instant,
    reports: u32,
}

/// The dates.
#[derive(Debug, Default)]
pub(super) struct Dates {
    /// That of the gateway's machine, since 1970, and when it was read.
    machine: Option<(Duration, Instant)>,
    /// The one that came with the gateway's last input that had one, and when.
    learnt: Option<(UnixTime, Instant)>,
}

impl Dates {
    /// Records that the gateway received the date.
    pub(super) fn learn(&mut self, now: Instant) {
        let machine = self.machine;
        self.learnt = machine.map(|(date, at)| {
            let date = date + (now - at);
            (UnixTime::from_secs(date.as_secs()), now)
        });
    }

    /// Records a gateway that knows no date.
    pub(super) fn forget(&mut self) {
        self.learnt = None;
    }

    fn estimate(&self, now: Instant) -> Option<UnixTime> {
        let (date, at) = self.learnt?;
        Some(date.saturating_add(now - at))
    }
}

impl Model {
    /// Records the date of the gateway's machine, since 1970, from now on.
    pub(crate) fn set_date(&mut self, date: Duration, now: Instant) {
        self.dates.machine = Some((date, now));
    }

    /// Records that the gateway received the date, by a command that it may have refused.
    pub(crate) fn learn_date(&mut self, now: Instant) {
        self.dates.learn(now);
    }

    /// Records that a device is attached by its association, without a token.
    pub(crate) fn need_no_token(&mut self, device: usize) {
        self.devices[device].given = None;
    }

    /// Records that a device is attached with tokens, and the newest, if it was given now: it is valid for a time from now
    /// on.
    pub(crate) fn give(
        &mut self,
        device: usize,
        token: Option<Token>,
        lifetime: Duration,
        now: Instant,
    ) {
        let device = &mut self.devices[device];
        if token.is_none() && device.given.is_some() {
            return;
        }
        let reports = device.reports;
        device.given = Some(Given {
            token,
            expires_at: now + lifetime,
            reports,
        });
    }

    /// Checks that a token is needed: the gateway has no token, it is not surely good by both clocks, or the bridge may have refused
    /// it.
    pub(super) fn check_need(&mut self, key: DeviceKey, now: Instant) -> Result<(), Finding> {
        let date = self.dates.estimate(now);
        let (is_unsure, index) = (self.is_deceived || !self.is_heard, self.keys.get(&key));
        let Some(index) = index.copied().filter(|_| !is_unsure) else {
            return Ok(());
        };
        let Device {
            given,
            reports,
            is_slandered,
            ..
        } = &self.devices[index];
        let Some(given) = given else {
            return finding(index, "needs no token");
        };
        let is_doubtful = given.reports != *reports || *is_slandered;
        match &given.token {
            Some(token) if !is_doubtful && given.is_good(token, date, now) => {
                finding(index, "has a good token")
            }
            _ => Ok(()),
        }
    }
}

impl Given {
    fn is_good(&self, token: &Token, date: Option<UnixTime>, now: Instant) -> bool {
        let is_past = token
            .expires()
            .zip(date)
            .is_some_and(|(exp, date)| exp <= date);
        let ahead = token.issued_at().zip(date);
        let is_ahead = ahead.is_some_and(|(iat, date)| iat > date.saturating_add(SKEW));
        now < self.expires_at && !is_past && !is_ahead
    }
}

fn finding(device: usize, why: &str) -> Result<(), Finding> {
    let what = format!("a token is needed for {}, which {why}", DEVICES[device]);
    Err(Finding::new(Rule::Progress, what))
}
