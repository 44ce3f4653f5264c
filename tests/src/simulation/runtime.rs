//! Implements the driver's runtime: connections and time.

use core::future::{pending, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use iotcore_gateway::auth::UnixTime;
use iotcore_gateway::driver::{Runtime, store::Worker};

use super::network::Lookups;
use super::world::World;
use super::{Dials, SimRuntime, SimStream};

impl Runtime for SimRuntime {
    type Stream = SimStream;

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.with_world(|world| world.names.lookups += 1);
        poll_fn(|cx| {
            self.with_world(|world| match world.network.lookups {
                Lookups::Succeed => Poll::Ready(Ok(world.names.resolve(host, port))),
                Lookups::Fail => Poll::Ready(Err(io::ErrorKind::NotFound.into())),
                Lookups::Hang => {
                    world.watch(cx);
                    Poll::Pending
                }
            })
        })
        .await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        let (latency, dials) = self.with_world(|world| {
            let at = world.elapsed();
            let dials = world.names.dial(at, address.ip(), &world.network);
            (world.network.latency, dials)
        });
        self.sleep(2 * latency).await;
        let wire = match dials {
            Dials::Succeed => self.with_world(World::connect),
            Dials::Silent => self.with_world(World::connect_to_nobody),
            Dials::Fail => return Err(io::ErrorKind::NetworkUnreachable.into()),
            Dials::Hang => return pending().await,
        };
        Ok(SimStream {
            runtime: self.clone(),
            wire,
        })
    }

    fn worker(&self) -> io::Result<Box<dyn Worker>> {
        Ok(self.new_worker())
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
