//! Attach and detach.

use core::fmt;
use std::time::Instant;

use serde::Deserialize;

use super::super::auth::{self, SKEW, TokenError};
use super::super::codec::Publish;
use super::super::errors::{ErrorType, Report};
use super::super::event::{DetachCause, EventKind};
use super::super::quotas::MAX_ATTACHED;
use super::super::registry::AuthMethod;
use super::super::settings::{
    AttachLimit, AttachSelf, DeviceTokenExpiry, NestedGateway, SecondGateway, Settings,
    SubscriptionsAfterDetach,
};
use super::super::wire::Context;
use super::super::world::Notice;
use super::publish::acknowledge;
use super::{Client, CloseReason, Handled};

/// An attached device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment {
    /// When its own token expires, if it was attached with one.
    token_ends: Option<Instant>,
}

/// The payload of an attach.
#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    authorization: String,
}

/// The reason why an attach is refused.
enum Refusal {
    Unknown,
    Blocked,
    Gateway,
    NoMethod,
    NotBound,
    /// The position of the JSON error; serde's own message could contain the token.
    Payload {
        line: usize,
        column: usize,
    },
    Token(TokenError),
    Elsewhere,
    Limit,
}

impl Client {
    /// Attaches a device. Documented: PUBACK only after the device is authorised; repeated for one that is attached.
    pub(super) fn attach(
        &mut self,
        device: &str,
        publish: &Publish,
        cx: &mut Context<'_>,
    ) -> Handled {
        if device == self.device {
            return match cx.world.settings.attach_self {
                AttachSelf::Close => Err(CloseReason::AttachSelf),
                AttachSelf::Acknowledge => {
                    acknowledge(publish, cx);
                    Ok(())
                }
            };
        }
        match self.authorise(device, publish, cx) {
            Ok(attachment) => {
                self.admit_device(device, attachment, cx);
                acknowledge(publish, cx);
            }
            Err(_) if self.attached.contains_key(device) => {
                // Assumed: a repeated attach that would be refused does not detach the device.
                cx.log(EventKind::Attached {
                    device: device.to_owned(),
                    again: true,
                });
                acknowledge(publish, cx);
            }
            Err(Refusal::Gateway) if cx.world.settings.nested_gateway == NestedGateway::Close => {
                let device = device.to_owned();
                return Err(CloseReason::NestedGateway { device });
            }
            Err(Refusal::Limit) if cx.world.settings.attach_limit == AttachLimit::Silence => {
                cx.log(EventKind::Dropped {
                    topic: publish.topic.clone(),
                    reason: "1,000 devices are attached",
                });
            }
            Err(refusal) => {
                let description = format!("Device {device:?} was not attached: {refusal}.");
                let error_type = ErrorType::GatewayAttachmentError;
                self.fail(error_type, device, description, publish, cx);
            }
        }
        Ok(())
    }

    /// Detaches a device. Documented: a detach of a device that is not attached is acknowledged and ignored.
    pub(super) fn detach(&mut self, device: &str, publish: &Publish, cx: &mut Context<'_>) {
        if self.attached.contains_key(device) {
            self.release(device, DetachCause::Requested, cx);
        }
        acknowledge(publish, cx);
    }

    /// Detaches a device and informs the gateway.
    ///
    /// Documented for states that are sent too fast, with this description and no packet; Assumed for the other causes.
    pub(crate) fn lose(&mut self, device: &str, cause: DetachCause, cx: &mut Context<'_>) {
        self.release(device, cause, cx);
        let report = Report {
            error_type: ErrorType::GatewayDetachmentDeviceError,
            device: device.to_owned(),
            description: "Device detached because of a device error.".to_owned(),
            about: None,
        };
        self.report(report, cx);
    }

    pub(super) fn detach_expired(&mut self, cx: &mut Context<'_>) {
        if cx.world.settings.device_token_expiry == DeviceTokenExpiry::Ignore {
            return;
        }
        let expired: Vec<String> = self
            .attached
            .iter()
            .filter(|(_, attachment)| attachment.token_ends.is_some_and(|ends| ends <= cx.now))
            .map(|(device, _)| device.clone())
            .collect();
        for device in expired {
            self.lose(&device, DetachCause::TokenExpired, cx);
        }
    }

    /// Returns when the next attached device's token expires.
    pub(super) fn expiry_deadline(&self, settings: &Settings) -> Option<Instant> {
        match settings.device_token_expiry {
            DeviceTokenExpiry::Ignore => None,
            DeviceTokenExpiry::Detach => {
                let ends = self
                    .attached
                    .values()
                    .filter_map(|device| device.token_ends);
                ends.min()
            }
        }
    }

    /// Checks whether a device may be attached. Documented: what each auth method requires. Token and binding are
    /// checked in the gateway's registry.
    fn authorise(
        &self,
        device: &str,
        publish: &Publish,
        cx: &Context<'_>,
    ) -> Result<Attachment, Refusal> {
        let registry = &cx.world.registry;
        let entry = registry.find(device).ok_or(Refusal::Unknown)?;
        let gateway = registry
            .find(&self.device)
            .and_then(|own| own.gateway.as_ref());
        let method = gateway.map_or(AuthMethod::Unspecified, |own| own.auth_method);
        let (needs_binding, needs_token) = match method {
            AuthMethod::Unspecified => return Err(Refusal::NoMethod),
            AuthMethod::AssociationOnly => (true, false),
            AuthMethod::DeviceAuthTokenOnly => (false, true),
            AuthMethod::AssociationAndDeviceAuthToken => (true, true),
        };
        if entry.gateway.is_some() {
            return Err(Refusal::Gateway);
        }
        if entry.blocked {
            return Err(Refusal::Blocked);
        }
        if needs_binding && !entry.bound_to.contains(&self.device) {
            return Err(Refusal::NotBound);
        }
        // Documented: a token that is not needed is ignored, so the payload is not parsed.
        let token_ends = match needs_token {
            false => None,
            true => {
                let token = token(publish)?;
                let unix = cx.world.unix();
                let exp = auth::check(&token, &entry.keys, registry.project(), unix)
                    .map_err(Refusal::Token)?;
                Some(cx.world.instant(exp + SKEW))
            }
        };
        if !self.attached.contains_key(device) && self.attached.len() >= MAX_ATTACHED {
            return Err(Refusal::Limit);
        }
        let elsewhere = self.elsewhere(device, cx).next().is_some();
        if elsewhere && cx.world.settings.second_gateway == SecondGateway::RefuseNew {
            return Err(Refusal::Elsewhere);
        }
        Ok(Attachment { token_ends })
    }

    /// Returns the other connections on which a device is attached.
    fn elsewhere<'a>(
        &self,
        device: &str,
        cx: &'a Context<'_>,
    ) -> impl Iterator<Item = super::ConnectionId> + use<'a> {
        let own = cx.wire.id;
        let connections = cx.world.attached.get(device);
        let all = connections.into_iter().flatten().copied();
        all.filter(move |connection| *connection != own)
    }

    /// Attaches an authorised device. Assumed: a repeated attach with a newer token extends the attachment to that
    /// token's expiry.
    fn admit_device(&mut self, device: &str, attachment: Attachment, cx: &mut Context<'_>) {
        if cx.world.settings.second_gateway == SecondGateway::DetachOld {
            let notices: Vec<Notice> = self
                .elsewhere(device, cx)
                .map(|older| Notice::LoseDevice {
                    older,
                    device: device.to_owned(),
                })
                .collect();
            cx.world.notices.extend(notices);
        }
        let before = self.attached.insert(device.to_owned(), attachment);
        cx.world.add_attachment(device, cx.wire.id);
        cx.log(EventKind::Attached {
            device: device.to_owned(),
            again: before.is_some(),
        });
    }

    fn release(&mut self, device: &str, cause: DetachCause, cx: &mut Context<'_>) {
        self.attached.remove(device);
        cx.world.remove_attachment(device, cx.wire.id);
        self.withdraw(device);
        if cx.world.settings.subscriptions_after_detach == SubscriptionsAfterDetach::Dropped {
            self.subscriptions.retain(|(of, _), _| of != device);
        }
        cx.log(EventKind::Detached {
            device: device.to_owned(),
            cause,
        });
    }
}

/// Parses the token. Documented: a JSON object with the member `authorization`. No token means: an object without it,
/// an empty one, or an empty payload, all of which have been observed to work.
fn token(publish: &Publish) -> Result<String, Refusal> {
    if publish.payload.is_empty() {
        return Err(Refusal::Token(TokenError::Missing));
    }
    let credentials: Credentials =
        serde_json::from_slice(&publish.payload).map_err(|error| Refusal::Payload {
            line: error.line(),
            column: error.column(),
        })?;
    match credentials.authorization.is_empty() {
        true => Err(Refusal::Token(TokenError::Missing)),
        false => Ok(credentials.authorization),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the registry has no such device"),
            Self::Blocked => f.write_str("it is blocked"),
            Self::Gateway => f.write_str("it is a gateway itself"),
            Self::NoMethod => f.write_str("the gateway has no auth method"),
            Self::NotBound => f.write_str("it is not bound to the gateway"),
            Self::Payload { line, column } => write!(
                f,
                "the payload is not {{\"authorization\":\"TOKEN\"}}, see line {line} column {column}"
            ),
            Self::Token(TokenError::Missing) => {
                f.write_str("the gateway's auth method asks for the device's token")
            }
            Self::Token(error) => write!(f, "its token: {error}"),
            Self::Elsewhere => f.write_str("it is attached to another gateway"),
            Self::Limit => write!(
                f,
                "{MAX_ATTACHED} devices are attached, the most there can be"
            ),
        }
    }
}
