//! The driver's timer.

use core::task::Context;
use std::sync::Arc;

use crate::{
    driver::{environment::Environment, runtime::BoxFuture},
    time::Instant,
};

/// A timer that is armed anew only for a deadline before the one it is armed for: a later one is met by waking once too
/// often, which costs less than a new timer for every message.
pub(crate) struct Alarm {
    environment: Arc<dyn Environment>,
    armed: Option<(Instant, BoxFuture<()>)>,
}

impl Alarm {
    pub(crate) fn new(environment: Arc<dyn Environment>) -> Self {
        Self {
            environment,
            armed: None,
        }
    }

    /// Whether the alarm rings, at `deadline` or before; otherwise the task is woken when it does.
    pub(crate) fn rings(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = deadline else {
            self.armed = None;
            return false;
        };
        if !matches!(self.armed, Some((at, _)) if at <= deadline) {
            let sleep = Arc::clone(&self.environment).sleep_until(deadline);
            self.armed = Some((deadline, sleep));
        }
        let has_rung = self
            .armed
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if has_rung {
            self.armed = None;
        }
        has_rung
    }
}
