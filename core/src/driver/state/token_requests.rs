//! Requests for device tokens: which of them is fetched next, and who waits for the answers of the attaches.

use core::{
    ops::Bound,
    task::{Context, Poll},
};
use std::collections::BTreeMap;

use crate::{
    backoff::Jitter,
    command::DeviceKey,
    driver::{
        environment::{TokenAnswer, TokenFetch},
        state::{waiters::Waiters, wakers::Wakers},
    },
    id::DeviceId,
    options::Backoff,
    time::Instant,
};

/// The number of device tokens that are fetched at once.
const MAX_FETCHES: usize = 16;

/// Who has asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// An attach, by the number of its request.
    Attach(u64),
    /// A device that the gateway has.
    Device(DeviceKey),
}

/// What the driver is to do about the requests.
pub(crate) enum NextFetch {
    /// To poll this fetch, which an attach has begun.
    TakeOver(Asker, TokenFetch),
    /// To fetch a token for this device.
    Begin(Asker, DeviceId),
    /// Nothing before this time.
    Wait(Option<Instant>),
}

/// From when on a request may be fetched, then its number.
type Place = (Instant, u64);

/// The requests: those that wait, by their places, and those that are fetched.
#[derive(Default)]
pub(crate) struct TokenRequests {
    waiting: BTreeMap<Place, (Asker, DeviceId)>,
    /// The places of those that wait.
    places: BTreeMap<Asker, Place>,
    running: BTreeMap<Asker, DeviceId>,
    /// Fetches that attaches have begun, for the driver.
    handed_over: BTreeMap<u64, TokenFetch>,
    attaches: BTreeMap<u64, Attach>,
    failed: BTreeMap<DeviceKey, Failed>,
    last: u64,
}

/// An attach that waits for its token.
#[derive(Default)]
struct Attach {
    waiters: Waiters,
    answer: Option<TokenAnswer>,
}

/// A device whose last fetches failed.
struct Failed {
    /// How many, in a row.
    failures: u32,
    jitter: Jitter,
}

impl TokenRequests {
    /// Records the request of an attach. Returns its number, and whether the caller is to begin the fetch immediately.
    pub(crate) fn add_attach(&mut self, device: &DeviceId, now: Instant) -> (u64, bool) {
        let request = self.next_number();
        self.attaches.insert(request, Attach::default());
        let asker = Asker::Attach(request);
        let begins = self.running.len() < MAX_FETCHES && !self.is_running(device);
        if begins {
            self.running.insert(asker, device.clone());
        } else {
            self.wait(asker, device.clone(), now);
        }
        (request, begins)
    }

    /// Records that a device of the gateway needs a token, unless its request waits or is fetched already.
    pub(crate) fn add_device(&mut self, key: DeviceKey, device: DeviceId, now: Instant) {
        let asker = Asker::Device(key);
        if !self.places.contains_key(&asker) && !self.running.contains_key(&asker) {
            self.wait(asker, device, now);
        }
    }

    /// Returns what the driver is to do next: to take over what an attach has begun, or to begin the request that has been
    /// due for longest. `needs_token` returns whether a device still needs one.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        needs_token: impl Fn(DeviceKey) -> bool,
    ) -> NextFetch {
        if let Some((request, fetch)) = self.handed_over.pop_first() {
            return NextFetch::TakeOver(Asker::Attach(request), fetch);
        }
        while let Some((asker, device)) = self.pop_due(now) {
            match asker {
                Asker::Device(key) if !needs_token(key) => self.forgive(key),
                _ => {
                    self.running.insert(asker, device.clone());
                    return NextFetch::Begin(asker, device);
                }
            }
        }
        NextFetch::Wait(self.next_due(now))
    }

    /// Takes the request that has been due for longest, of those that may be fetched now.
    fn pop_due(&mut self, now: Instant) -> Option<(Asker, DeviceId)> {
        if self.running.len() >= MAX_FETCHES {
            return None;
        }
        let mut due = self.waiting.range(..=(now, u64::MAX));
        let (&place, _) = due.find(|(_, (_, device))| !self.is_running(device))?;
        let (asker, device) = self.waiting.remove(&place)?;
        self.places.remove(&asker);
        Some((asker, device))
    }

    /// Returns when the next request becomes due that is not due yet, unless a fetch has to end first.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.running.len() >= MAX_FETCHES {
            return None;
        }
        let later = (Bound::Excluded((now, u64::MAX)), Bound::Unbounded);
        self.waiting.range(later).next().map(|((at, _), _)| *at)
    }

    /// Returns whether a fetch has somebody who waits for it.
    pub(crate) fn is_wanted(&self, asker: Asker) -> bool {
        self.running.contains_key(&asker)
    }

    /// Records that a fetch has ended.
    pub(crate) fn end(&mut self, asker: Asker) {
        self.running.remove(&asker);
    }

    fn is_running(&self, device: &DeviceId) -> bool {
        self.running.values().any(|running| running == device)
    }

    fn wait(&mut self, asker: Asker, device: DeviceId, from: Instant) {
        let place = (from, self.next_number());
        self.places.insert(asker, place);
        self.waiting.insert(place, (asker, device));
    }

    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Devices whose fetches fail.
impl TokenRequests {
    /// Records that the fetch for a device failed: the next one is due after a backoff. `seed` is that of its jitter.
    pub(crate) fn retry(&mut self, key: DeviceKey, device: DeviceId, seed: u64, now: Instant) {
        let failed = self.failed.entry(key).or_insert_with(|| Failed {
            failures: 0,
            jitter: Jitter::new(seed),
        });
        let wait = Backoff::default().wait(failed.failures, &mut failed.jitter);
        failed.failures = failed.failures.saturating_add(1);
        self.wait(Asker::Device(key), device, now + wait);
    }

    /// Forgets how often the fetches for a device failed.
    pub(crate) fn forgive(&mut self, key: DeviceKey) {
        self.failed.remove(&key);
    }
}

/// Attaches.
impl TokenRequests {
    /// Takes over a fetch that an attach has begun. Returns it if the attach has ended meanwhile.
    pub(crate) fn hand_over(&mut self, request: u64, fetch: TokenFetch) -> Option<TokenFetch> {
        if !self.is_wanted(Asker::Attach(request)) {
            return Some(fetch);
        }
        self.handed_over.insert(request, fetch)
    }

    /// Records the answer for an attach. Returns it if nobody waits for it any more.
    pub(crate) fn answer(
        &mut self,
        request: u64,
        answer: TokenAnswer,
        wakers: &mut Wakers,
    ) -> Option<TokenAnswer> {
        let Some(attach) = self.attaches.get_mut(&request) else {
            return Some(answer);
        };
        attach.waiters.wake_all(wakers);
        attach.answer.replace(answer)
    }

    /// Returns the answer for an attach, or `None` if the attach has ended without one.
    pub(crate) fn poll(
        &mut self,
        request: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<TokenAnswer>> {
        let Some(attach) = self.attaches.get_mut(&request) else {
            return Poll::Ready(None);
        };
        if let Some(answer) = attach.answer.take() {
            return Poll::Ready(Some(answer));
        }
        attach.waiters.register(waiter, cx, wakers);
        Poll::Pending
    }

    /// Forgets the request of an attach. Returns what was there for it, to be dropped without the lock.
    pub(crate) fn withdraw(
        &mut self,
        request: u64,
        waiter: Option<u64>,
        wakers: &mut Wakers,
    ) -> impl Sized + use<> {
        let attach = self.attaches.remove(&request).map(|mut attach| {
            attach.waiters.forget(waiter, wakers);
            attach.answer
        });
        let asker = Asker::Attach(request);
        self.running.remove(&asker);
        if let Some(place) = self.places.remove(&asker) {
            self.waiting.remove(&place);
        }
        (attach, self.handed_over.remove(&request))
    }

    /// Ends the attaches that wait for their answers, because the gateway ends.
    pub(crate) fn end_attaches(&mut self, wakers: &mut Wakers) {
        let is_attach = |asker: &Asker| matches!(asker, Asker::Attach(_));
        self.waiting.retain(|_, (asker, _)| !is_attach(asker));
        self.places.retain(|asker, _| !is_attach(asker));
        self.running.retain(|asker, _| !is_attach(asker));
        self.attaches.retain(|_, attach| {
            attach.waiters.wake_all(wakers);
            attach.answer.is_some()
        });
    }
}
