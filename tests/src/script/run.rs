//! Runs a script step by step on a gateway and the emulator, checked by the model.

use core::num::NonZeroU32;
use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{DeliveryId, DeviceKey, Event, Failure, Gateway, cause::DisconnectReason};

use super::broken::{Broken, Rule};
use super::history::{self, History, What};
use super::setup::Drafted;
use super::step::{self, CloudOperation, DEVICES, Step};
use super::{CallPattern, Script, World};
use crate::Fault;
use crate::bridge::faults::FaultKind;
use crate::link::{GATEWAY, Link, Observation, Observer};
use crate::model::{Finding, Model};

/// The time limit for everything to end once nothing prevents it any more.
pub(super) const RECOVERY: Duration = Duration::from_secs(4_000);

/// The time limit for a close after that.
pub(super) const CLOSING: Duration = Duration::from_secs(120);

/// The interval between retries of the user's actions during recovery.
pub(super) const ROUND: Duration = Duration::from_secs(10);

/// The maximum total time that steps wait, so that no script takes long.
const MAX_ELAPSED: Duration = Duration::from_secs(3 * 3_600);

/// The maximum number of events at one instant.
const MAX_AT_ONCE: u32 = 50_000;

/// Records the history and consults the model.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) history: History,
    pub(super) model: Model,
    start: Instant,
    finding: Option<Finding>,
    /// When the last connection began.
    pub(super) dialed: Instant,
    last: Instant,
    at_once: u32,
}

impl Observer for Watch {
    fn observe(&mut self, observation: Observation<'_>, gateway: &Gateway, now: Instant) {
        if self.finding.is_some() {
            return;
        }
        if matches!(observation, Observation::Dialed(_)) {
            self.dialed = now;
        }
        if now != self.last {
            (self.last, self.at_once) = (now, 0);
        }
        // Bytes are not counted: they may arrive one by one, but are finite.
        let is_of_bytes = matches!(
            observation,
            Observation::Received(_) | Observation::Transmitted(_) | Observation::Struck(_)
        );
        self.at_once += u32::from(!is_of_bytes);
        let has_token = self
            .history
            .add(now - self.start, What::from_observation(observation));
        let checked = self.model.observe(observation, gateway, now);
        self.check(checked);
        if has_token {
            self.find(Rule::Secrecy, "a token in what happened");
        }
        if self.at_once > MAX_AT_ONCE {
            self.find(Rule::Progress, "time does not advance");
        }
    }
}

impl Watch {
    pub(super) fn check(&mut self, checked: Result<(), Finding>) {
        if let (None, Err(finding)) = (&self.finding, checked) {
            self.finding = Some(finding);
        }
    }

    pub(super) fn find(&mut self, rule: Rule, what: &str) {
        let what = what.to_owned();
        self.check(Err(Finding { rule, what }));
    }
}

/// A running script.
pub(super) struct Run {
    pub(super) drafted: Drafted,
    /// The world of the calm at the end.
    pub(super) world: World,
    /// When the calm began.
    pub(super) calm_since: Instant,
    pub(super) link: Link<Watch>,
    pub(super) keys: [Option<DeviceKey>; DEVICES.len()],
    pub(super) deliveries: Vec<DeliveryId>,
    configs: u32,
    /// Whether the gateway did not want input when last checked.
    is_deaf: bool,
}

/// Runs a script, then repairs all faults and checks that everything that was accepted ends.
///
/// # Errors
/// A guarantee does not hold. This is a bug in the gateway, in the emulator or in the model.
pub(super) fn run(script: &Script, pattern: CallPattern) -> Result<History, Broken> {
    let mut run = Run::new(script, pattern);
    for (index, step) in script.steps.iter().enumerate() {
        let answer = run.perform(step);
        run.note(step, answer);
        run.process_outputs();
        if run.is_broken() {
            return Err(run.broken(index + 1));
        }
    }
    run.finish();
    match run.is_broken() {
        true => Err(run.broken(script.steps.len())),
        false => Ok(run.link.observer.history),
    }
}

impl Run {
    fn new(script: &Script, pattern: CallPattern) -> Self {
        let drafted = script.setup.draft();
        let settings = drafted.settings;
        let options = drafted.options.clone();
        let watch = |start| Watch {
            history: History::default(),
            model: Model::new(&drafted),
            start,
            finding: None,
            dialed: start,
            last: start,
            at_once: 0,
        };
        let mut link = Link::observed(options, drafted.jitter, drafted.registry(), settings, watch);
        link.call_pattern = pattern;
        let world = drafted.world.clone();
        link.network = world.network();
        if world.is_slow() {
            link.bridge.set_service(world.service(), link.now());
            link.observer.model.end_calm();
            link.observer.model.slow_down(&world.service());
            link.observer.history.slow_world();
        }
        let mut run = Self {
            world: drafted.world.calm(),
            calm_since: link.now(),
            drafted,
            link,
            keys: [None; DEVICES.len()],
            deliveries: Vec::new(),
            configs: 0,
            is_deaf: false,
        };
        run.tell_date();
        run.meet();
        run
    }

    /// Registers the gateway's own key, which exists from the start.
    pub(super) fn meet(&mut self) {
        let own = self.link.gateway.own_key();
        self.keys = [None; DEVICES.len()];
        self.keys[0] = Some(own);
        self.link.observer.model.know(own, 0);
    }

    /// Informs the model of the date of the gateway's machine, which has changed.
    pub(super) fn tell_date(&mut self) {
        let (date, now) = (self.link.since_1970(), self.link.now());
        self.model().set_date(date, now);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.link.observer.finding.is_some()
    }

    fn broken(self, step: usize) -> Broken {
        let at = self.link.elapsed();
        let Watch {
            history, finding, ..
        } = self.link.observer;
        let Finding { rule, what } = finding.expect("the caller has looked");
        Broken {
            rule,
            what,
            at,
            step,
            history: Box::new(history),
        }
    }

    pub(super) fn model(&mut self) -> &mut Model {
        &mut self.link.observer.model
    }

    pub(super) fn check(&mut self, checked: Result<(), Finding>) {
        self.link.observer.check(checked);
    }

    pub(super) fn struck(&mut self, fault: &'static str) {
        self.link.observer.history.struck(fault);
    }

    fn note(&mut self, step: &Step, answer: String) {
        let (step, at) = (step.clone(), self.link.elapsed());
        let watch = &mut self.link.observer;
        if watch.history.add(at, What::Step { step, answer }) {
            watch.find(Rule::Secrecy, "a token in the answer to a command");
        }
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.link.now() + duration;
        while !self.is_broken() && self.link.step(end) {
            self.look();
        }
        self.look();
    }

    pub(super) fn process_outputs(&mut self) {
        self.link.process_outputs();
        self.look();
    }

    /// Processes the gateway's new events.
    pub(super) fn look(&mut self) {
        let is_deaf = !self.link.gateway.wants_input();
        if is_deaf && !self.is_deaf {
            self.struck("back-pressure");
        }
        self.is_deaf = is_deaf;
        for event in self.link.events() {
            match event {
                Event::Config { delivery, .. } | Event::Command { delivery, .. } => {
                    self.deliveries.push(delivery);
                }
                Event::TokenNeeded { .. } => self.struck("device token needed"),
                Event::Failed {
                    failure: Failure::Suspected { .. },
                    ..
                } => self.struck("suspect given up"),
                Event::ReadingPaused { .. } => self.struck("reading paused"),
                Event::AcknowledgementsOverdue { .. } => self.struck("not acknowledged"),
                Event::Disconnected(how) => match how.reason {
                    DisconnectReason::TokenRefresh => self.struck("token refreshed"),
                    DisconnectReason::Violation(_) => self.struck("standard violated"),
                    DisconnectReason::PacketTimedOut(_) => self.struck("packet incomplete"),
                    DisconnectReason::WriteStalled(_) => self.struck("write stalled"),
                    DisconnectReason::PingRespTimedOut(_) => self.struck("peer silent"),
                    _ => {}
                },
                _ => {}
            }
        }
        self.link.bridge_events();
        self.look_at_queued();
        if self.link.is_polled() && !self.is_broken() {
            let checked = self.model().check_deliveries();
            self.check(checked);
            let checked = self.link.observer.model.check_devices(&self.link.gateway);
            self.check(checked);
        }
    }

    fn perform(&mut self, step: &Step) -> String {
        match step {
            Step::Wait(duration) => {
                let left = MAX_ELAPSED.saturating_sub(self.link.elapsed());
                self.wait(left.min(*duration));
            }
            Step::User(command) => return self.command(*command),
            Step::Cloud(operation) => return self.operate(*operation),
            Step::Fault(fault) => self.inject(fault),
            Step::Stray(stray) => {
                self.model().deceive();
                self.inject(&FaultKind::Raw {
                    bytes: stray.packet(),
                });
            }
            Step::Report {
                device,
                error,
                packet_id,
            } => {
                self.model().report(*device);
                self.inject(&FaultKind::Raw {
                    bytes: step::report_packet(*device, *error, *packet_id),
                });
            }
            Step::Network(fault) => self.disturb(*fault),
            Step::LeaveUnpolled(duration) => {
                self.model().stop_hearing();
                self.link.leave_unpolled(*duration);
            }
            Step::ClockError(seconds) => {
                self.model().end_calm();
                self.struck("clock jumped");
                self.link.set_clock_error(i64::from(*seconds));
                self.tell_date();
            }
            Step::TokenLifetime(lifetime) => self.link.set_token_lifetime(*lifetime),
            Step::Slow(slow) => {
                let service = slow.service();
                self.model().slow_down(&service);
                self.struck("slow service");
                self.inject(&FaultKind::Service {
                    service: Box::new(service),
                });
            }
            Step::StallService(duration) => {
                self.model().end_calm();
                let millis = u32::try_from(duration.as_millis()).ok();
                if let Some(millis) = millis.and_then(NonZeroU32::new) {
                    self.struck("stalled service");
                    self.inject(&FaultKind::Stall { millis });
                }
            }
            Step::Sleep(duration) => {
                self.model().end_calm();
                self.struck("machine asleep");
                let left = MAX_ELAPSED.saturating_sub(self.link.elapsed());
                self.link.sleep(left.min(*duration));
                self.tell_date();
            }
            Step::ForgetDate => {
                self.model().end_calm();
                self.struck("date unknown");
                self.link.forget_date();
                self.tell_date();
            }
            Step::SetDate => {
                self.link.set_clock_error(0);
                self.tell_date();
            }
        }
        String::new()
    }

    pub(super) fn inject(&mut self, fault: &FaultKind) {
        let now = self.link.now();
        let is_raw_for_somebody = self.link.bridge.connected().next().is_some();
        match fault {
            FaultKind::Raw { .. } | FaultKind::Segment { .. } if is_raw_for_somebody => {
                self.struck(history::name(fault));
            }
            _ => {}
        }
        self.link
            .bridge
            .inject(Fault::from(fault), now)
            .expect("a fault for all clients");
    }

    fn operate(&mut self, operation: CloudOperation) -> String {
        let now = self.link.now();
        let bridge = &mut self.link.bridge;
        self.configs += 1;
        let (number, name) = (self.configs, |device: usize| DEVICES[device]);
        let done = match operation {
            CloudOperation::Config { device, size } => {
                let payload = format!("{:width$}", format!("c{number}"), width = usize::from(size));
                let sent = bridge.send_config(name(device), payload.clone(), now);
                sent.map(|version| {
                    self.link
                        .observer
                        .model
                        .configure(device, version, &payload)
                })
            }
            CloudOperation::Command { device, size } => {
                let (subfolder, payload) = (format!("n{number}"), vec![b'y'; usize::from(size)]);
                self.link.observer.model.command(device, &subfolder);
                bridge.send_command(name(device), Some(&subfolder), payload, now)
            }
            CloudOperation::Detach { device } => bridge
                .detach_with_error(name(device), now)
                .inspect(|()| self.link.observer.history.struck("detached by the cloud")),
            CloudOperation::DropConnection => bridge
                .drop_connection(GATEWAY, now)
                .inspect(|()| self.link.observer.history.struck("dropped by the cloud")),
            CloudOperation::Block { device } => bridge
                .set_blocked(name(device), true, now)
                .inspect(|()| self.link.observer.history.struck("blocked by the cloud")),
            CloudOperation::Unblock { device } => bridge.set_blocked(name(device), false, now),
            CloudOperation::Bind { device } => bridge.bind(GATEWAY, name(device)),
            CloudOperation::Unbind { device } => bridge
                .unbind(GATEWAY, name(device), now)
                .inspect(|()| self.link.observer.history.struck("unbound by the cloud")),
        };
        done.map_or_else(|error| error.to_string(), |()| "done".to_owned())
    }
}
