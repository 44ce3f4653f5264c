//! What handles and the status see of the store.

use core::task::{Context, Poll};

use crate::{
    command::OpId,
    driver::{
        operation_error::{StoredError, Unsuccessful},
        state::State,
        status::Status,
        store::{Answer, Group, Store, StoreError},
    },
    gateway::DeviceState,
    id::ClientId,
    input::Input,
    mqtt::QoS,
    store::{Damage, Recovered, StoreFailure},
    time::{Instant, UnixTime},
    unsent::Unsent,
};

/// The store, as handles and the status see it.
#[derive(Debug, Default)]
pub(super) struct StoreView {
    /// Whether there is one.
    is_there: bool,
    /// The last operation that was restored.
    last_restored: Option<OpId>,
    /// What was found at the start and is to be reported.
    found: Option<Found>,
    /// Why it cannot be written.
    failure: Option<StoreFailure>,
    /// What has turned out to be damaged since the start, and was reported.
    damage: Damage,
}

#[derive(Debug)]
struct Found {
    messages: usize,
    recovered: Recovered,
}

/// Inputs and outputs of the driver.
impl State {
    /// Restores what is in a store, before the gateway is opened.
    pub(crate) fn restore(
        &mut self,
        store: &mut dyn Store,
        client: &ClientId,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.apply(Input::Date(unix_now), now);
        let mut messages = 0;
        let recovered = store.restore(client, &mut |seq, record| {
            let restore = Input::Restore {
                seq,
                record,
                unix_now,
            };
            let restored = self.apply(restore, now).op();
            let op = restored.expect("a new gateway with a store takes what is in it");
            self.store.last_restored = Some(op);
            messages += 1;
        })?;
        self.apply(Input::Recovered(recovered), now);
        self.store.is_there = true;
        self.store.found = Some(Found {
            messages,
            recovered,
        });
        Ok(())
    }

    /// Takes the operations that are to be carried out next, if the last ones were answered.
    pub(crate) fn take_group(&mut self, unix_now: UnixTime, now: Instant) -> Option<Group> {
        // Deadlines are kept as dates, which may have been set since the last token.
        self.apply(Input::Date(unix_now), now);
        Group::take(&mut self.gateway)
    }

    /// Handles the answer of the store.
    pub(crate) fn handle_store_answer(&mut self, answer: Answer, now: Instant) {
        let answer = match answer {
            Ok(through) => Input::Stored(through),
            Err(failure) => Input::StoreFailed(failure),
        };
        self.apply(answer, now);
        self.distribute_events(now);
    }
}

/// Events.
impl State {
    /// Reports what was found in the store, once.
    pub(super) fn report_found(&mut self) {
        let Some(Found {
            messages,
            recovered,
        }) = self.store.found.take()
        else {
            return;
        };
        if messages > 0 {
            self.report(&Status::Restored { messages });
        }
        if !recovered.damaged.is_none() {
            let damage = recovered.damaged;
            self.report(&Status::StoreDamaged { damage });
        }
    }

    /// Reports what has turned out to be damaged, if that is more than before.
    pub(crate) fn report_damage(&mut self, all: Damage) {
        let before = core::mem::replace(&mut self.store.damage, all);
        let damage = Damage {
            places: all.places.saturating_sub(before.places),
            bytes: all.bytes.saturating_sub(before.bytes),
        };
        if !damage.is_none() {
            self.report(&Status::StoreDamaged { damage });
        }
    }

    /// Reports the devices that something was restored for and that nobody has attached.
    pub(super) fn report_unclaimed(&mut self) {
        if !self.store.is_there {
            return;
        }
        let devices = self.gateway.devices();
        let unclaimed = devices.filter(|device| device.state == DeviceState::Unclaimed);
        let unclaimed: Vec<_> = unclaimed.filter(|device| device.queued > 0).collect();
        for device in unclaimed {
            self.report(&Status::Unclaimed {
                device: device.id,
                messages: device.queued,
            });
        }
    }

    pub(super) fn on_store_failed(&mut self, failure: StoreFailure) {
        self.store.failure = Some(failure.clone());
        self.operations.wake_all(&mut self.wakers);
        self.report(&Status::StoreFailed { failure });
    }

    pub(super) fn on_store_recovered(&mut self) {
        self.store.failure = None;
        self.report(&Status::StoreRecovered);
    }
}

/// Handles.
impl State {
    /// Returns what was restored and has not ended, each counted as waited for.
    pub(crate) fn wait_for_restored(&mut self) -> Vec<Unsent> {
        let Some(last) = self.store.last_restored else {
            return Vec::new();
        };
        let unsent = self.gateway.unsent().filter(|unsent| unsent.op <= last);
        let restored: Vec<_> = unsent.collect();
        for unsent in &restored {
            self.operations.wait_for(unsent.op);
            if unsent.is_stored {
                self.operations.store(unsent.op, &mut self.wakers);
            }
        }
        restored
    }

    /// Waits until a publication with this quality of service is durable or was acknowledged.
    pub(crate) fn poll_stored(
        &mut self,
        op: OpId,
        qos: QoS,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StoredError>> {
        if qos == QoS::AtMostOnce || !self.store.is_there {
            return Poll::Ready(Err(StoredError::NotKept));
        }
        if self.operations.is_stored(op) {
            return Poll::Ready(Ok(()));
        }
        let has_ended = self.shutdown.has_ended();
        let ended = self
            .operations
            .poll(op, has_ended, waiter, cx, &mut self.wakers);
        match (ended, &self.store.failure) {
            // It ends with the gateway, and stays in the store.
            (Poll::Ready(Err(Unsuccessful::Failed { unsent, .. })), _)
                if unsent.as_ref().is_some_and(|unsent| unsent.is_stored) =>
            {
                Poll::Ready(Ok(()))
            }
            (Poll::Ready(ended), _) => Poll::Ready(ended.map(drop).map_err(Into::into)),
            (Poll::Pending, Some(failure)) => {
                Poll::Ready(Err(StoredError::StoreFailed(failure.clone())))
            }
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    pub(crate) fn stop_waiting_for_store(&mut self, op: OpId, waiter: Option<u64>) {
        self.operations.forget_task(op, waiter, &mut self.wakers);
    }
}
