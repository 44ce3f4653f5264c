//! Notifies the service manager of how the relay is, if there is one that wants to know (`NOTIFY_SOCKET`, as systemd sets it).

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(unix, test))]
pub(crate) use self::unix::Notice;
#[cfg(unix)]
pub(crate) use self::unix::Notifier;
#[cfg(windows)]
pub(crate) use self::windows::Notifier;
