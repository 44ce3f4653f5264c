//! A runtime in memory: a virtual clock, a network of pipes, and one thread that polls what was woken.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::pending,
    io,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::{UnixTime, driver::Runtime};

/// More polls than this without anything new from the test are a busy loop.
const MAX_POLLS: usize = 20_000;

/// The clock and the network, as tests and the driver's runtime share them.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<Inner>>);

struct Inner {
    now: Instant,
    timers: BTreeMap<(Instant, u64), Waker>,
    timers_made: u64,
    dialing: Dialing,
    /// Connections that no server has taken yet.
    accepted: Vec<Arc<Mutex<Pipe>>>,
    /// For the next connections.
    most_per_write: usize,
    last_words: Option<Vec<u8>>,
}

/// What becomes of a dial.
#[derive(Clone, Copy)]
pub(crate) enum Dialing {
    Accepted,
    Refused,
    Hanging,
}

/// One connection. What the driver did with it stands in `calls`, in order.
pub(crate) struct Pipe {
    /// Written, and on its way once it is flushed.
    unflushed: Vec<u8>,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) server_has_closed: bool,
    /// The most bytes taken in one write.
    most_per_write: usize,
    /// The bytes that are taken before the peer stalls.
    pub(crate) room: usize,
    /// The next write fails, and this is what the peer had said before.
    pub(crate) last_words: Option<Vec<u8>>,
    /// Reading fails with this.
    pub(crate) broken: Option<io::ErrorKind>,
    pub(crate) calls: Vec<Call>,
    client: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Flush,
    Close,
    ReadEnd,
    Drop,
}

impl Pipe {
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.client.take() {
            waker.wake();
        }
    }

    fn called(&mut self, call: Call) {
        if self.calls.last() != Some(&call) {
            self.calls.push(call);
        }
    }
}

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn dialing(&self, dialing: Dialing) {
        self.lock().dialing = dialing;
    }

    pub(crate) fn most_per_write(&self, most: usize) {
        self.lock().most_per_write = most;
    }

    /// The next connection fails with its first write, after the peer has said this.
    pub(crate) fn breaks_at_once_with(&self, last_words: &[u8]) {
        self.lock().last_words = Some(last_words.to_vec());
    }

    /// The connection that was made since the last call.
    pub(crate) fn take_connection(&self) -> Option<Arc<Mutex<Pipe>>> {
        self.lock().accepted.pop()
    }
}

impl Runtime for Simulated {
    type Stream = Stream;

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<Stream> {
        let dialing = self.lock().dialing;
        match dialing {
            Dialing::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Dialing::Hanging => pending().await,
            Dialing::Accepted => {
                let mut inner = self.lock();
                let pipe = Arc::new(Mutex::new(Pipe {
                    unflushed: Vec::new(),
                    to_server: Vec::new(),
                    to_client: Vec::new(),
                    server_has_closed: false,
                    most_per_write: inner.most_per_write,
                    room: usize::MAX,
                    last_words: inner.last_words.take(),
                    broken: None,
                    calls: Vec::new(),
                    client: None,
                }));
                inner.accepted.push(Arc::clone(&pipe));
                Ok(Stream(pipe))
            }
        }
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        let place = {
            let mut inner = self.lock();
            inner.timers_made += 1;
            (deadline, inner.timers_made)
        };
        Sleep {
            world: self.clone(),
            place,
        }
    }

    fn now(&self) -> Instant {
        self.lock().now
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(1_795_374_000)
    }
}

struct Sleep {
    world: Simulated,
    place: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.lock();
        if inner.now >= self.place.0 {
            return Poll::Ready(());
        }
        inner.timers.insert(self.place, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.world.lock().timers.remove(&self.place);
        drop(waker);
    }
}

/// The driver's end of a connection.
pub(crate) struct Stream(Arc<Mutex<Pipe>>);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock().unwrap();
        let len = buffer.len().min(pipe.to_client.len());
        if len > 0 {
            buffer[..len].copy_from_slice(&pipe.to_client[..len]);
            pipe.to_client.drain(..len);
            return Poll::Ready(Ok(len));
        }
        if let Some(kind) = pipe.broken {
            return Poll::Ready(Err(kind.into()));
        }
        if pipe.server_has_closed {
            pipe.called(Call::ReadEnd);
            return Poll::Ready(Ok(0));
        }
        pipe.client = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock().unwrap();
        assert!(!bytes.is_empty(), "nothing to write");
        assert!(
            !pipe.calls.contains(&Call::Close),
            "written after the close"
        );
        if let Some(words) = pipe.last_words.take() {
            pipe.to_client.extend(words);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(pipe.most_per_write).min(pipe.room);
        if len == 0 {
            pipe.client = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.room -= len;
        pipe.unflushed.extend_from_slice(&bytes[..len]);
        pipe.called(Call::Write);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        let flushed = std::mem::take(&mut pipe.unflushed);
        pipe.to_server.extend(flushed);
        pipe.called(Call::Flush);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().called(Call::Close);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.lock().unwrap().called(Call::Drop);
    }
}

/// Tasks of one thread, and the clock.
pub(crate) struct World {
    pub(crate) net: Simulated,
    tasks: Vec<Task>,
}

struct Task {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    state: Arc<TaskState>,
}

#[derive(Default)]
struct TaskState {
    is_woken: AtomicBool,
    polls: AtomicUsize,
}

impl Wake for TaskState {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
    }
}

/// A task's result, once it has one.
pub(crate) struct Spawned<T> {
    result: Rc<RefCell<Option<T>>>,
    state: Arc<TaskState>,
    index: usize,
}

impl<T> Spawned<T> {
    pub(crate) fn is_pending(&self) -> bool {
        self.result.borrow().is_none()
    }

    /// The result, which must be there.
    #[track_caller]
    pub(crate) fn ended(&self) -> T {
        let result = self.result.borrow_mut().take();
        result.expect("the task has not ended, or its result was taken")
    }

    pub(crate) fn polls(&self) -> usize {
        self.state.polls.load(Ordering::Relaxed)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let now = Instant::now();
        Self {
            net: Simulated(Arc::new(Mutex::new(Inner {
                now,
                timers: BTreeMap::new(),
                timers_made: 0,
                dialing: Dialing::Accepted,
                accepted: Vec::new(),
                most_per_write: usize::MAX,
                last_words: None,
            }))),
            tasks: Vec::new(),
        }
    }

    /// Starts a task, and runs everything until nothing moves.
    pub(crate) fn spawn<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> Spawned<T> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        let state = Arc::new(TaskState::default());
        state.is_woken.store(true, Ordering::Relaxed);
        self.tasks.push(Task {
            future: Some(Box::pin(async move {
                let output = future.await;
                *slot.borrow_mut() = Some(output);
            })),
            state: Arc::clone(&state),
        });
        self.settle();
        Spawned {
            result,
            state,
            index: self.tasks.len() - 1,
        }
    }

    /// Drops a task where it stands.
    pub(crate) fn cancel<T>(&mut self, task: &Spawned<T>) {
        self.tasks[task.index].future = None;
        self.settle();
    }

    /// Polls what was woken until nothing is.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let mut polls = 0;
        while let Some(index) = self
            .tasks
            .iter()
            .position(|task| task.state.is_woken.swap(false, Ordering::Relaxed))
        {
            polls += 1;
            assert!(polls < MAX_POLLS, "a busy loop");
            let task = &mut self.tasks[index];
            let Some(future) = &mut task.future else {
                continue;
            };
            task.state.polls.fetch_add(1, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&task.state));
            if future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                task.future = None;
            }
        }
    }

    /// Lets this much time pass, with every timer at its instant.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.net.lock().now + time;
        loop {
            let due = {
                let mut inner = self.net.lock();
                let next = inner.timers.keys().next().map(|(at, _)| *at);
                match next.filter(|at| *at <= end) {
                    Some(at) => {
                        inner.now = at.max(inner.now);
                        inner.timers.pop_first().map(|(_, waker)| waker)
                    }
                    None => {
                        inner.now = end;
                        None
                    }
                }
            };
            match due {
                Some(waker) => waker.wake(),
                None => break self.settle(),
            }
            self.settle();
        }
    }
}
