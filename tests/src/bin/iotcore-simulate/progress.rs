//! Progress on standard error: only on a terminal, and only of what takes longer than two seconds.

use core::time::Duration;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long something takes before its progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// The interval between updates.
const REFRESH: Duration = Duration::from_millis(200);

/// A line that shows how far something is.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Creates the progress of so many seeds. The bar's message is their speed.
    pub(crate) fn of_seeds(count: u64) -> Self {
        Self::new(
            Some(count),
            "  {wide_bar} {human_pos} of {human_len} seeds, {msg}, {eta} left ",
        )
    }

    /// Creates the progress of shrinking a script, whose end nobody knows.
    pub(crate) fn of_shrinking() -> Self {
        Self::new(None, "  {spinner} shrinking the script for {elapsed} ")
    }

    fn new(length: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        bar.set_style(style.progress_chars("█▌░"));
        Self { bar }
    }

    /// Waits until all senders are dropped, and shows the progress meanwhile; `update` tells the bar how far it is.
    pub(crate) fn until(&self, ends: &Receiver<()>, update: impl Fn(&ProgressBar)) {
        let is_over = |wait| ends.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        if is_over(PATIENCE) {
            return;
        }
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        while !is_over(REFRESH) {
            update(&self.bar);
            self.bar.tick();
        }
        self.bar.finish_and_clear();
    }

    /// Runs this on a thread of its own, and shows the progress meanwhile.
    pub(crate) fn during<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let (sender, ends) = mpsc::channel::<()>();
            let work = scope.spawn(move || {
                let result = work();
                drop(sender);
                result
            });
            self.until(&ends, |_| {});
            work.join().expect("it catches panics, which are findings")
        })
    }
}
