//! The sentences of changes.

use super::*;
use crate::{
    error::Certainty,
    event::{DisconnectReason, TransportEnd},
    time::Duration,
};

#[test]
fn a_change_is_one_sentence_that_names_its_device() {
    let device: DeviceId = "sensor-1".try_into().unwrap();
    let dropped = Status::Dropped {
        device: device.clone(),
        messages: 3,
    };
    let undelivered = |messages, tag: Option<&str>| Status::Undelivered {
        device: device.clone(),
        failure: Failure::Expired,
        messages,
        op: OpId::after(6),
        tag: tag.map(|tag| tag.parse().unwrap()),
    };
    let paused = Status::ReadingPaused {
        device: Some(device.clone()),
    };
    let overdue = Status::AcknowledgementsOverdue {
        device: device.clone(),
        messages: 2,
    };
    let lost = Status::SubscriptionLost {
        device: device.clone(),
        subscription: Subscription::Config,
        failure: Failure::SubscriptionRefused(Subscription::Config),
    };
    let downgraded = Status::SubscriptionDowngraded {
        device: device.clone(),
        subscription: Subscription::Commands,
    };
    let unrequested = Status::Unrequested {
        topic: "/devices/x/config".to_owned(),
        payload: Bytes::from_static(b"secret"),
    };
    for (status, shown) in [
        (Status::Connected, "connected"),
        (dropped, "3 messages for sensor-1 were dropped"),
        (
            undelivered(1, None),
            "#7 of sensor-1 failed: it had expired before it was acknowledged; if it had been sent, it may have arrived",
        ),
        (
            undelivered(300, Some("reading 7")),
            "300 messages of sensor-1 failed, the last of them #7 (\"reading 7\"): it had expired before it was \
             acknowledged; if it had been sent, it may have arrived",
        ),
        (
            paused,
            "nothing has been read for 5 s, because too many messages wait for their acknowledgement, most of them of sensor-1",
        ),
        (
            overdue,
            "2 messages for sensor-1 were not acknowledged and held up other devices for 5 s: commands are \
             acknowledged now, a config once it is taken or acknowledged, and until then its messages hold up \
             nobody; take or acknowledge them, or subscribe the device to none",
        ),
        (
            lost,
            "sensor-1 has lost its subscription to config: the bridge refused the subscription to config (SUBACK 0x80)",
        ),
        (
            downgraded,
            "the bridge granted sensor-1 its subscription to commands at QoS 0 only",
        ),
        (
            unrequested,
            "the bridge sent 6 bytes on \"/devices/x/config\", which nothing here is subscribed to",
        ),
    ] {
        assert_eq!(status.to_string(), shown);
    }
}

#[test]
fn an_attempt_that_failed_is_told_apart_from_the_end_of_a_connection() {
    let ended = |end| Status::Disconnected {
        ended: Disconnected {
            reason: DisconnectReason::Transport(end),
            certainty: Certainty::Confirmed,
            retry_in: Some(Duration::from_secs(1)),
            suspects: Vec::new(),
            takeover_suspected: false,
        },
        error: None,
    };
    for (end, shown) in [
        (
            TransportEnd::DialFailed,
            "not connected: the host could not be reached; connecting again in 1s",
        ),
        (
            TransportEnd::PeerClosed,
            "disconnected: the peer closed the connection; connecting again in 1s",
        ),
    ] {
        assert_eq!(ended(end).to_string(), shown);
    }
}
