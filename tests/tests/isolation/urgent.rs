//! An alarm behind all the readings that a slow bridge has yet to take.

use std::time::{Duration, Instant};

use iotcore_gateway::{
    DeviceKey, Gateway, Options, Publication, message::Priority, options::QueueLimit,
};
use iotcore_gateway_testkit::{
    bridge::{service::Service, settings::Settings},
    link::{Link, Observation, Observer, registry_of},
};

use super::crowd::{MILLI, SECOND, attach};

/// When bytes with the alarm were last written.
#[derive(Default)]
struct Alarms(Option<Instant>);

impl Observer for Alarms {
    fn observe(&mut self, observation: Observation<'_>, _: &Gateway, now: Instant) {
        if let Observation::Transmitted(bytes) = observation
            && bytes.windows(5).any(|part| part == b"alarm")
        {
            self.0 = Some(now);
        }
    }
}

/// How long the bridge needs for a message.
const ANSWER: Duration = Duration::from_millis(100);

/// A link with 999 devices that have 100,000 readings, at a bridge of 10 messages a second, and one that has none.
fn busy() -> (Link<Alarms>, Vec<DeviceKey>) {
    let mut options = Options::default();
    options.total_queue = QueueLimit {
        messages: 200_000,
        bytes: 1 << 30,
    };
    let settings = Settings::default();
    let mut link = Link::observed(options, 1, registry_of(1_000), settings, |_| {
        Alarms::default()
    });
    let devices = attach(&mut link, 1_000);
    let service = Service::one_queue().publish(ANSWER);
    let now = link.now();
    link.bridge.set_service(service, now);
    for n in 0..100_000 {
        let reading = Publication::telemetry(devices[1 + n % 999], "reading");
        link.gateway.publish(reading, now).unwrap();
    }
    link.run(10 * SECOND);
    (link, devices)
}

fn assert_soon(link: &mut Link<Alarms>, device: DeviceKey) {
    let now = link.now();
    link.observer.0 = None;
    assert_eq!(link.gateway.stats().in_flight, 100, "the window is full");
    let alarm = Publication::telemetry(device, "alarm").priority(Priority::Urgent);
    link.gateway.publish(alarm, now).unwrap();
    link.run(SECOND);
    let written = link.observer.0.expect("written within a second");
    assert!(written - now <= ANSWER, "written after {:?}", written - now);
}

#[test]
fn an_alarm_behind_a_hundred_thousand_readings_is_written_within_the_time_of_one_answer() {
    let (mut link, devices) = busy();
    // Of a device that has nothing else, of those that have readings, and several at once.
    for device in [0, 1, 500, 500, 999, 0] {
        assert_soon(&mut link, devices[device]);
        link.run(33 * MILLI);
    }
    assert!(link.gateway.stats().queued > 99_000);
}
