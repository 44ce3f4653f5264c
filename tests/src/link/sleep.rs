//! A gateway's machine that sleeps, and one that does not know the date.

use core::time::Duration;

use super::{Link, Observer, START};

impl<O: Observer> Link<O> {
    /// Puts the gateway's machine to sleep: its [clock](Self::now) stands still, and nothing reaches the gateway or is
    /// asked of it, while the date, the network and the bridge go on. What arrives meanwhile waits in the buffers of the
    /// machine.
    pub fn sleep(&mut self, duration: Duration) {
        self.process_outputs();
        let wakes = self.slept + duration;
        loop {
            let now = self.world_now();
            let next = self.next_of_bridge();
            let wait = next.map(|at| at.saturating_duration_since(now));
            match wait.filter(|wait| self.slept + *wait <= wakes) {
                Some(wait) => self.slept += wait,
                None => break,
            }
            self.deliver_to_bridge();
            self.run_timers_of_bridge();
            while self.transmit_to_gateway() > 0 {}
        }
        self.slept = wakes;
    }

    /// Sets the date of the gateway's machine to the start of 1970, as that of one without a battery at its start, until
    /// [`set_clock_error`](Self::set_clock_error) corrects it.
    pub fn forget_date(&mut self) {
        let unix = START.saturating_add(self.elapsed()).as_secs();
        self.set_clock_error(0_i64.saturating_sub_unsigned(unix));
    }
}
