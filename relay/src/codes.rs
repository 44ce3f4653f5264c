//! The codes of the protocol: short texts in snake case for programs. The schema has a sentence for each.

/// Declares an enum of codes with their texts.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($code:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($code,)+ }

        impl $name {
            /// All of them, for the test that compares them with the schema.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$code,)+];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

codes! {
    /// The reason why an operation failed, as far as the bridge did not report it.
    ErrorCode {
        Suspected = "suspected",
        DeviceRefused = "device_refused",
        NotAttached = "not_attached",
        Detached = "detached",
        Detaching = "detaching",
        UnknownDevice = "unknown_device",
        OwnDevice = "own_device",
        TooManyDevices = "too_many_devices",
        TokenExpired = "token_expired",
        NoToken = "no_token",
        TimedOut = "timed_out",
        SubscriptionRefused = "subscription_refused",
        ErrorsTopicRefused = "errors_topic_refused",
        Expired = "expired",
        Cancelled = "cancelled",
        Superseded = "superseded",
        Dropped = "dropped",
        QueueFull = "queue_full",
        StoreFailed = "store_failed",
        PayloadTooLarge = "payload_too_large",
        IllegalId = "illegal_id",
        IllegalSubfolder = "illegal_subfolder",
        IllegalTag = "illegal_tag",
        IllegalToken = "illegal_token",
        IllegalExpiresAfter = "illegal_expires_after",
        Closed = "closed",
        GaveUp = "gave_up",
        Stopped = "stopped",
        Refused = "refused",
        Failed = "failed",
    }
}

codes! {
    /// Why a line is no operation.
    InvalidCode {
        NotUtf8 = "not_utf8",
        NotJson = "not_json",
        LineTooLong = "line_too_long",
        IllegalOperation = "illegal_operation",
        IdInUse = "id_in_use",
        UnknownDelivery = "unknown_delivery",
    }
}

codes! {
    /// Why a `cancel` has changed nothing.
    CancelCode {
        TooLate = "too_late",
        NotOpen = "not_open",
        NotCancellable = "not_cancellable",
    }
}

codes! {
    /// What ended a connection or an attempt at one.
    DisconnectCode {
        DialFailed = "dial_failed",
        ProxyFailed = "proxy_failed",
        TlsFailed = "tls_failed",
        TokenFailed = "token_failed",
        TokenExpired = "token_expired",
        Refused = "refused",
        PeerClosed = "peer_closed",
        Broken = "broken",
        ConnAckTimedOut = "connack_timed_out",
        PingRespTimedOut = "pingresp_timed_out",
        PacketTimedOut = "packet_timed_out",
        WriteStalled = "write_stalled",
        ProtocolViolation = "protocol_violation",
        PacketIdsExhausted = "packet_ids_exhausted",
        TokenRefresh = "token_refresh",
        Closed = "closed",
        Other = "other",
    }
}

codes! {
    /// How sure it is that something is the cause.
    CertaintyCode {
        Confirmed = "confirmed",
        Inferred = "inferred",
        Suspected = "suspected",
    }
}

codes! {
    /// Whether the same may succeed later.
    RetryCode {
        Backoff = "backoff",
        Never = "never",
        Kept = "kept",
    }
}

codes! {
    /// The state of a device.
    StateCode {
        Waiting = "waiting",
        Attaching = "attaching",
        Attached = "attached",
        Retrying = "retrying",
        TokenNeeded = "token_needed",
        Refused = "refused",
        Dormant = "dormant",
        Detaching = "detaching",
        Unclaimed = "unclaimed",
        Other = "other",
    }
}

codes! {
    /// What keeps the store from being written.
    StoreCode {
        Full = "full",
        ReadOnly = "read_only",
        Exhausted = "exhausted",
        Unreachable = "unreachable",
        Broken = "broken",
    }
}
