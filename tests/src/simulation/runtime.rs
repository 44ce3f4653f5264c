//! Implements the driver's runtime: connections and time.

use core::future::pending;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use iotcore_gateway::UnixTime;
use iotcore_gateway::driver::Runtime;

use super::{Dials, SimRuntime, SimStream};

impl Runtime for SimRuntime {
    type Stream = SimStream;

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<SimStream> {
        let latency = self.with_world(|world| world.network.latency);
        self.sleep(2 * latency).await;
        let wire = self.with_world(|world| match world.network.dials {
            Dials::Succeed => Ok(Some(world.connect())),
            Dials::Fail => Err(io::ErrorKind::NetworkUnreachable),
            Dials::Hang => Ok(None),
        })?;
        let Some(wire) = wire else {
            return pending().await;
        };
        Ok(SimStream {
            runtime: self.clone(),
            wire,
        })
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Sleep {
            timer: self.with_world(|world| world.new_timer(deadline)),
            runtime: self.clone(),
        }
    }

    fn now(&self) -> Instant {
        self.with_world(|world| world.clock.monotonic(world.now))
    }

    fn unix_now(&self) -> UnixTime {
        self.with_world(|world| world.clock.date(world.now))
    }
}

struct Sleep {
    runtime: SimRuntime,
    timer: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.runtime.with_world(|world| {
            if world.clock.monotonic(world.now) >= self.timer.0 {
                return Poll::Ready(());
            }
            world.set_timer(self.timer, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.runtime.with_world(|world| world.end_timer(self.timer));
    }
}
