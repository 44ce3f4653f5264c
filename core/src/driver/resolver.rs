//! The resolver of the operating system, without a thread pool.

use core::{
    future::poll_fn,
    net::IpAddr,
    task::{Poll, Waker},
};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Resolves a name on a thread of its own, which nobody joins: a `getaddrinfo` that hangs can be neither cancelled nor
/// waited for at the end of a program. An address needs no thread.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let slot = Slot::default();
    let (answer, host) = (slot.clone(), host.to_owned());
    thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || answer.fill((host.as_str(), port).to_socket_addrs().map(Vec::from_iter)))?;
    poll_fn(|cx| slot.poll(cx.waker())).await
}

type Answer = io::Result<Vec<SocketAddr>>;

/// Where the thread leaves its answer, and the task that waits for it.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<(Option<Answer>, Option<Waker>)>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, (Option<Answer>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, answer: Answer) {
        let waker = {
            let mut slot = self.lock();
            slot.0 = Some(answer);
            slot.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Answer> {
        let mut slot = self.lock();
        if let Some(answer) = slot.0.take() {
            return Poll::Ready(answer);
        }
        slot.1 = Some(waker.clone());
        Poll::Pending
    }
}
