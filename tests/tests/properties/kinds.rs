//! The kinds of steps of a script, by their first byte.

pub(crate) const WAIT: u8 = 0;
pub(crate) const OPEN: u8 = 1;
pub(crate) const ATTACH: u8 = 2;
pub(crate) const DETACH: u8 = 4;
pub(crate) const TELEMETRY: u8 = 5;
pub(crate) const STATE: u8 = 6;
pub(crate) const SUBSCRIBE: u8 = 7;
pub(crate) const UNSUBSCRIBE: u8 = 8;
pub(crate) const CLOSE: u8 = 10;
pub(crate) const CONFIG: u8 = 12;
pub(crate) const COMMAND: u8 = 13;
pub(crate) const CLOUD_DETACH: u8 = 14;
pub(crate) const BLOCK: u8 = 16;
pub(crate) const HOLD: u8 = 24;
pub(crate) const DOUBLE: u8 = 26;
pub(crate) const REORDER: u8 = 27;
pub(crate) const RELEASE: u8 = 28;
pub(crate) const LOSE_REPORTS: u8 = 30;
pub(crate) const CUT_AT_PACKET: u8 = 31;
pub(crate) const STRAY: u8 = 33;
pub(crate) const REPORT: u8 = 34;
pub(crate) const CUT: u8 = 38;
pub(crate) const CUT_AFTER: u8 = 39;
pub(crate) const FLIP: u8 = 41;
pub(crate) const LEAVE_UNPOLLED: u8 = 44;
pub(crate) const FAIL_DIALS: u8 = 43;
pub(crate) const CLOCK_OR_LIFETIME: u8 = 45;
/// Telemetry and states that may be urgent or expire.
pub(crate) const WITH_TERMS: [u8; 2] = [53, 54];
pub(crate) const CANCEL: u8 = 55;

/// The steps that every script contains.
pub(crate) const COMMON: [u8; 5] = [WAIT, WAIT, TELEMETRY, TELEMETRY, ATTACH];
