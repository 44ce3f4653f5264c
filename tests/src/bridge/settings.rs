//! Settings for the bridge's behaviour that no source describes.
//!
//! Each open question is an enum whose default is the most likely answer; the other variants exist so that a client can
//! be tested against all of them. Settings are read from the registry file (its member `settings`) and from the
//! program's `--set name=value`, with the names of the fields of [`Settings`] and the variants in `snake_case`.

use core::error::Error;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One answer to each open question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether a gateway's failed operation is acknowledged in addition to its error report.
    pub failed_puback: FailedPuback,
    /// Where an error report contains the MQTT packet that it is about.
    pub error_shape: ErrorShape,
    /// The JSON type of a report's `packet_id`.
    pub error_packet_id: ErrorPacketId,
    /// What happens at a CONNECT with the client identifier of a live connection.
    pub duplicate_client: DuplicateClient,
    /// The answer to a CONNECT whose token is not accepted.
    pub auth_failure: AuthFailure,
    /// The answer to an attach beyond the 1,000 that a gateway may have.
    pub attach_limit: AttachLimit,
    /// The answer to a SUBSCRIBE to anything but an own or attached device's config, commands or errors.
    pub forbidden_subscribe: ForbiddenSubscribe,
    /// What happens to a payload that exceeds its limit.
    pub oversize_payload: OversizePayload,
    /// The answer to a CONNECT with CleanSession 0.
    pub persistent_session: ConnectFeature,
    /// The answer to a CONNECT with a will.
    pub will: ConnectFeature,
    /// What happens at a PUBLISH with the retain flag.
    pub retain: Retain,
    /// What happens to a device's subscriptions when it is detached.
    pub subscriptions_after_detach: SubscriptionsAfterDetach,
    /// What happens to an attached device whose own token has expired (10 minutes of skew included).
    pub device_token_expiry: DeviceTokenExpiry,
    /// The answer to an attach of a device that is attached to another gateway.
    pub second_gateway: SecondGateway,
    /// The answer to a gateway that attaches itself.
    pub attach_self: AttachSelf,
    /// The answer to a gateway that attaches a gateway.
    pub nested_gateway: NestedGateway,
    /// What happens to a config, delivered with QoS 1 on a live connection, that stays unacknowledged.
    pub config_redelivery: ConfigRedelivery,
    /// What happens to a state sent less than a second after the device's last.
    pub state_rate: StateRate,
    /// The answer to a CONNECT of MQTT 5.
    pub mqtt5: Mqtt5,
}

/// Declares the settings' enums: each variant with its description; the first variant is the default.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident, $($(#[$rest_doc:meta])* $rest:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$rest_doc])* $rest),+
        }
    )+};
}

answers! {
    /// Whether a failed attach, or a publish for a device that is not attached, gets a PUBACK.
    FailedPuback {
        /// No PUBACK: the report is the only answer.
        None,
        /// PUBACK, then the report.
        BeforeReport,
        /// The report, then PUBACK.
        AfterReport,
    }

    /// Where an error report contains the MQTT packet that it is about.
    ErrorShape {
        /// In an object `mqtt_message_info`, as captured from the bridge's predecessor.
        Nested,
        /// Beside `error_type`, as the vendor's page lists the fields.
        Flat,
        /// Nowhere: every report is about a device alone.
        Absent,
    }

    /// The JSON type of a report's `packet_id`.
    ErrorPacketId {
        /// `10`
        Number,
        /// `"10"`
        Text,
    }

    /// A CONNECT with the client identifier of a live connection.
    DuplicateClient {
        /// The older connection is closed.
        TakeOver,
        /// The new connection gets CONNACK 2.
        RefuseNew,
    }

    /// The answer to a CONNECT whose token is not accepted.
    AuthFailure {
        /// CONNACK 4, malformed user name or password.
        #[serde(rename = "connack_4")]
        Connack4,
        /// CONNACK 5, not authorised.
        #[serde(rename = "connack_5")]
        Connack5,
        /// CONNACK 13, the vendor's code for every other reason.
        #[serde(rename = "connack_13")]
        Connack13,
        /// CONNACK 0x13, as the vendor's table also prints it.
        #[serde(rename = "connack_0x13")]
        Connack0x13,
        /// The connection is closed without an answer.
        Close,
    }

    /// An attach beyond the limit.
    AttachLimit {
        /// `GATEWAY_ATTACHMENT_ERROR`.
        Report,
        /// No answer at all.
        Silence,
    }

    /// A SUBSCRIBE that the bridge does not support.
    ForbiddenSubscribe {
        /// SUBACK 0x80 for that filter.
        Refuse,
        /// SUBACK 0x80, then the connection is closed.
        RefuseAndClose,
        /// The connection is closed without a SUBACK.
        Close,
    }

    /// A payload that exceeds its limit.
    OversizePayload {
        /// The connection is closed.
        Close,
        /// It is dropped: no PUBACK, no report.
        Drop,
    }

    /// A feature of CONNECT that the bridge does not support.
    ConnectFeature {
        /// Ignored.
        Accept,
        /// CONNACK 13.
        Refuse,
        /// The connection is closed without an answer.
        Close,
    }

    /// A PUBLISH with the retain flag.
    Retain {
        /// The flag is ignored.
        Ignore,
        /// The connection is closed.
        Close,
    }

    /// A device's subscriptions when it is detached.
    SubscriptionsAfterDetach {
        /// They are removed.
        Dropped,
        /// They are suspended, and active again once the device is attached on the same connection.
        Kept,
    }

    /// An attached device whose own token has expired.
    DeviceTokenExpiry {
        /// It is detached with `GATEWAY_DETACHMENT_DEVICE_ERROR`.
        Detach,
        /// Nothing happens.
        Ignore,
    }

    /// An attach of a device that is attached to another gateway.
    SecondGateway {
        /// The older gateway loses it with `GATEWAY_DETACHMENT_DEVICE_ERROR`.
        DetachOld,
        /// It is attached to both.
        Share,
        /// The newer gateway gets `GATEWAY_ATTACHMENT_ERROR`.
        RefuseNew,
    }

    /// A gateway that attaches itself.
    AttachSelf {
        /// PUBACK, and nothing changes.
        Acknowledge,
        /// The connection is closed.
        Close,
    }

    /// A gateway that attaches a gateway.
    NestedGateway {
        /// `GATEWAY_ATTACHMENT_ERROR`.
        Report,
        /// The connection is closed.
        Close,
    }

    /// An unacknowledged config of QoS 1.
    ConfigRedelivery {
        /// Sent again with DUP every ten seconds until its PUBACK.
        Redeliver,
        /// Sent again only when its topic is subscribed again.
        OnResubscribe,
    }

    /// A state less than a second after the device's last.
    StateRate {
        /// The device's own connection is closed; a proxied device is detached with
        /// `GATEWAY_DETACHMENT_DEVICE_ERROR`.
        Detach,
        /// The device's states are dropped for five seconds.
        IgnoreForFiveSeconds,
    }

    /// A CONNECT of MQTT 5.
    Mqtt5 {
        /// CONNACK 1, in the form of MQTT 3.1.1.
        Refuse,
        /// The connection speaks MQTT 5.
        Accept,
    }
}

/// The reason why a setting was not changed; its text lists the valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    message: String,
}

impl Settings {
    /// Changes one setting, by its name in the registry file.
    ///
    /// # Errors
    /// The name or the value does not exist.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let mut all = self.to_map();
        let Some(slot) = all.get_mut(name) else {
            let names = all.keys().map(String::as_str).collect::<Vec<_>>();
            return Err(SettingError {
                message: format!(
                    "there is no setting {name:?}; there are {}",
                    names.join(", ")
                ),
            });
        };
        *slot = Value::from(value);
        *self = serde_json::from_value(Value::Object(all)).map_err(|error| SettingError {
            message: format!("setting {name}: {error}"),
        })?;
        Ok(())
    }

    fn to_map(self) -> serde_json::Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("a struct of unit variants becomes an object"),
        }
    }
}

impl AuthFailure {
    /// Returns the CONNACK return code, unless the connection is closed instead.
    pub(crate) fn code(self) -> Option<u8> {
        match self {
            Self::Connack4 => Some(4),
            Self::Connack5 => Some(5),
            Self::Connack13 => Some(13),
            Self::Connack0x13 => Some(0x13),
            Self::Close => None,
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SettingError {}

/// One `name=value` per line, sorted by name.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.to_map() {
            writeln!(f, "{name}={}", value.as_str().unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_likeliest_answers() {
        let settings: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.failed_puback, FailedPuback::None);
        assert_eq!(settings.auth_failure.code(), Some(4));
        assert_eq!(settings.forbidden_subscribe, ForbiddenSubscribe::Refuse);
    }

    #[test]
    fn every_setting_can_be_set_by_its_name_in_the_file() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("failed_puback", "after_report"),
            ("error_shape", "flat"),
            ("error_packet_id", "text"),
            ("duplicate_client", "refuse_new"),
            ("auth_failure", "connack_0x13"),
            ("attach_limit", "silence"),
            ("forbidden_subscribe", "refuse_and_close"),
            ("oversize_payload", "drop"),
            ("persistent_session", "refuse"),
            ("will", "close"),
            ("retain", "close"),
            ("subscriptions_after_detach", "kept"),
            ("device_token_expiry", "ignore"),
            ("second_gateway", "share"),
            ("attach_self", "close"),
            ("nested_gateway", "close"),
            ("config_redelivery", "on_resubscribe"),
            ("state_rate", "ignore_for_five_seconds"),
            ("mqtt5", "accept"),
        ] {
            let before = settings;
            settings.set(name, value).unwrap();
            assert_ne!(settings, before, "{name}");
        }
        assert_eq!(settings.to_map().len(), 19);
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }

    #[test]
    fn a_wrong_name_or_value_is_answered_with_the_right_ones() {
        let mut settings = Settings::default();
        let name = settings.set("mqtt6", "accept").unwrap_err().to_string();
        assert!(
            name.contains("\"mqtt6\"") && name.contains("mqtt5"),
            "{name}"
        );
        let value = settings.set("mqtt5", "maybe").unwrap_err().to_string();
        assert!(
            value.contains("`maybe`") && value.contains("`accept`"),
            "{value}"
        );
        assert_eq!(settings, Settings::default());
    }
}
