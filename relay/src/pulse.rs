//! Shows the service manager that the relay's loop turns, and what it is doing.

use std::{convert::Infallible, sync::Arc, time::Duration};

use iotcore_gateway_tokio::Client;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::{notify::Notifier, vitals::Vitals};

/// The shortest time between two status lines.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The time after which the status says that the output is not read.
const SLOW_OUTPUT: Duration = Duration::from_secs(5);

/// Sends signs of life, and the status when it changes, while the loop waits in [`during`](Self::during): not while it
/// computes, nor while it waits for anything else.
pub(crate) struct Pulse {
    client: Client,
    vitals: Arc<Vitals>,
    notifier: Notifier,
    /// When the next sign of life is due; `None` if nobody wants one.
    life: Option<Interval>,
    /// When the next status line may be sent; `None` without a service manager.
    status: Option<Interval>,
    /// The last one that was sent.
    told: String,
}

impl Pulse {
    pub(crate) fn new(client: Client, vitals: Arc<Vitals>, notifier: Notifier) -> Self {
        let life = notifier.watchdog_interval();
        let life = life.map(|period| every(period, Instant::now() + period));
        let status = notifier.is_heard();
        let status = status.then(|| every(STATUS_INTERVAL, Instant::now()));
        Self {
            client,
            vitals,
            notifier,
            life,
            status,
            told: String::new(),
        }
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    pub(crate) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Awaits what the loop waits for.
    pub(crate) async fn during<T>(&mut self, wait: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            never = self.beat() => match never {},
            done = wait => done,
        }
    }

    /// Awaits the writing of an event.
    pub(crate) async fn during_write<T>(&mut self, write: impl Future<Output = T>) -> T {
        self.vitals.set_writing(Some(std::time::Instant::now()));
        let done = self.during(write).await;
        self.vitals.set_writing(None);
        done
    }

    async fn beat(&mut self) -> Infallible {
        loop {
            tokio::select! {
                biased;
                () = tick(&mut self.life) => self.notifier.alive(),
                () = tick(&mut self.status) => self.tell_status(),
            }
        }
    }

    fn tell_status(&mut self) {
        let status = Status {
            is_connected: self.client.is_connected(),
            devices: self.client.peek_stats().devices,
            waiting: self.vitals.open().messages,
            is_output_slow: self.vitals.output_wait(Instant::now().into_std()) >= SLOW_OUTPUT,
        };
        let line = status.line();
        if line != self.told {
            self.told.clone_from(&line);
            self.notifier.status(line);
        }
    }
}

fn every(period: Duration, first: Instant) -> Interval {
    let mut interval = interval_at(first, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for the next tick, if there are any.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// The contents of the status line.
struct Status {
    is_connected: bool,
    /// Devices attached or to be attached.
    devices: usize,
    /// Messages of the input that have not ended.
    waiting: usize,
    is_output_slow: bool,
}

impl Status {
    fn line(&self) -> String {
        let connection = match self.is_connected {
            true => "connected",
            false => "not connected",
        };
        let devices = match self.devices {
            1 => "1 device".to_owned(),
            devices => format!("{devices} devices"),
        };
        let output = match self.is_output_slow {
            true => ", standard output is not read",
            false => "",
        };
        format!("{connection}, {devices}, {} waiting{output}", self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_loop_that_computes_or_hangs_gives_no_sign_of_life() {
        use tokio::time::sleep;

        use crate::notify::Notice;

        const WATCHDOG: Duration = Duration::from_secs(2);
        let (notifier, notices) = Notifier::channel(Some(WATCHDOG));
        let signs_of_life = || {
            let notices = notices.try_iter();
            notices
                .filter(|notice| matches!(notice, Notice::Alive))
                .count()
        };
        let mut pulse = Pulse::new(client(), Arc::default(), notifier);
        pulse.during(sleep(WATCHDOG * 3)).await;
        assert_eq!(signs_of_life(), 6);
        pulse.during_write(sleep(WATCHDOG * 3)).await;
        assert_eq!(signs_of_life(), 6);
        sleep(WATCHDOG * 3).await;
        assert_eq!(signs_of_life(), 0);
        // One that was late is given at once, and not as often as it was left out.
        pulse.during(sleep(WATCHDOG / 4)).await;
        assert_eq!(signs_of_life(), 1);
    }

    /// Returns a client that never connects.
    #[cfg(unix)]
    fn client() -> Client {
        use iotcore_gateway_tokio::{
            ClientId, Security, Setup,
            auth::Token,
            connect,
            token_source::{BoxError, TokenRequest, TokenSource},
        };

        struct Unused;

        impl TokenSource for Unused {
            async fn gateway(&self, _: TokenRequest<'_>) -> Result<Token, BoxError> {
                Err("no token is asked for".into())
            }
        }

        let client_id = ClientId::new(
            "plant".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "sensors".parse().unwrap(),
            "gateway-1".parse().unwrap(),
        );
        let setup = Setup::new("127.0.0.1", Security::PlainOnLoopback, client_id, Unused);
        connect(setup).unwrap().0
    }

    #[test]
    fn the_status_line_counts_devices_and_messages_and_tells_of_an_unread_output() {
        let status = Status {
            is_connected: true,
            devices: 20,
            waiting: 0,
            is_output_slow: false,
        };
        assert_eq!(status.line(), "connected, 20 devices, 0 waiting");
        let status = Status {
            is_connected: false,
            devices: 1,
            waiting: 7,
            is_output_slow: true,
        };
        assert_eq!(
            status.line(),
            "not connected, 1 device, 7 waiting, standard output is not read"
        );
    }
}
