//! The protocol of `sd_notify`: datagrams to the socket that `NOTIFY_SOCKET` names, which is one in the file system, as with
//! systemd since version 212: abstract ones are not supported.

use std::{
    env, io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use sd_notify::NotifyState;

use crate::notes::note;

/// The number of notices that wait to be sent; further ones are dropped.
const MAX_WAITING: usize = 16;

/// The shortest time between two signs of life, whatever `WATCHDOG_USEC` says.
const MIN_WATCHDOG_INTERVAL: Duration = Duration::from_millis(1);

/// Sends notices in order, on a separate thread, which is not joined at the end: the socket blocks while nobody reads it.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    /// `None` if there is no service manager.
    notices: Option<SyncSender<Notice>>,
    /// After how long without a sign of life the service manager ends the relay; `None` if it never does.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Notice {
    Ready,
    Stopping,
    Alive,
    Status(String),
    /// Answered once all before it are sent.
    Flush(SyncSender<()>),
}

impl Notifier {
    /// Begins to listen for notices.
    ///
    /// # Errors
    ///
    /// Fails if the system has no thread left.
    pub(crate) fn new() -> io::Result<Self> {
        let socket = env::var_os("NOTIFY_SOCKET");
        if socket.is_none_or(|socket| socket.is_empty()) {
            return Ok(Self {
                notices: None,
                watchdog: None,
            });
        }
        let watchdog = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let (notifier, notices) = Self::channel(watchdog);
        thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || send_all(&notices))?;
        Ok(notifier)
    }

    /// Constructs a notifier, and the receiver of its notices.
    pub(crate) fn channel(watchdog: Option<Duration>) -> (Self, Receiver<Notice>) {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let notifier = Self {
            notices: Some(sender),
            watchdog,
        };
        (notifier, receiver)
    }

    /// Returns whether there is a service manager.
    pub(crate) fn is_heard(&self) -> bool {
        self.notices.is_some()
    }

    /// Returns how often the service manager wants a sign of life: twice as often as it checks. `None` if it does not.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
            .map(|limit| (limit / 2).max(MIN_WATCHDOG_INTERVAL))
    }

    /// Notifies that the relay listens to its input.
    pub(crate) fn ready(&self) {
        self.send(Notice::Ready);
    }

    /// Notifies that the relay ends within its time limit, once, however often this is called.
    pub(crate) fn stopping(&self) {
        self.send(Notice::Stopping);
    }

    /// Sends a sign of life.
    pub(crate) fn alive(&self) {
        self.send(Notice::Alive);
    }

    /// Sends the status: one line for people.
    pub(crate) fn status(&self, status: String) {
        self.send(Notice::Status(status));
    }

    /// Waits until all notices are sent, for this long at most.
    pub(crate) fn flush(&self, limit: Duration) {
        let (sent, is_sent) = sync_channel(1);
        self.send(Notice::Flush(sent));
        let _ = is_sent.recv_timeout(limit);
    }

    fn send(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            // A full queue means that the service manager reads nothing; the relay does not wait for that.
            let _ = notices.try_send(notice);
        }
    }
}

/// Sends notices until the last [`Notifier`] is dropped. Only the first error is noted.
fn send_all(notices: &Receiver<Notice>) {
    let (mut is_stopping, mut is_noted) = (false, false);
    for notice in notices {
        let sent = match &notice {
            Notice::Stopping if std::mem::replace(&mut is_stopping, true) => Ok(()),
            Notice::Ready => sd_notify::notify(&[NotifyState::Ready]),
            Notice::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Notice::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
            Notice::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
            Notice::Flush(sent) => {
                let _ = sent.try_send(());
                Ok(())
            }
        };
        if let Err(error) = sent
            && !is_noted
        {
            is_noted = true;
            let socket = env::var_os("NOTIFY_SOCKET").unwrap_or_default();
            let socket = socket.to_string_lossy();
            let advice = match socket.starts_with('@') {
                true => "name a socket in the file system: abstract ones are not supported",
                false => "unset the variable if there is none",
            };
            note(format_args!(
                "cannot reach the service manager at NOTIFY_SOCKET, {socket}: {error}; {advice}"
            ));
        }
    }
}
