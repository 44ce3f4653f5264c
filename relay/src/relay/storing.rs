//! Messages in the store: what was found at the start, and what is stored now.

use std::{future::poll_fn, io, pin::Pin, task::Poll};

use iotcore_gateway_tokio::{Delivery, error::StoredError, message::Unsent};
use tokio::{sync::watch, time::Instant};

use super::{Relay, open::Origin};
use crate::{
    failure::Reason,
    operation::{Id, Publication, Request},
    output::{Event, Restored},
    sources::Ended,
};

impl Relay {
    /// Writes an event for each message that was found in the store, and waits for its end.
    pub(super) async fn take_restored(
        &mut self,
        restored: Vec<(Unsent, Delivery)>,
    ) -> io::Result<()> {
        for (place, (unsent, delivery)) in restored.into_iter().enumerate() {
            let is_own = unsent.device == self.settings.gateway;
            let now = Instant::now();
            let publication = Publication {
                qos: unsent.qos,
                payload: unsent.payload,
                priority: unsent.priority,
                expires_at: unsent.expires_after.map(|left| now + left),
                tag: unsent.tag,
            };
            let request = Request::of_message(
                Id::of_restored(place + 1),
                (!is_own).then(|| unsent.device.to_string()),
                &unsent.topic,
                publication,
            );
            let device = unsent.device;
            let place = self.lanes.next_place(&device, &request.action);
            self.open
                .add(&request, device.clone(), place, Origin::Store);
            self.lanes.on_restored(&device, &request);
            let event = Restored::of(&request, &device).map(Event::Restored);
            self.await_end(request.id, Some(delivery.op()), delivery);
            if let Some(event) = event {
                self.write(&event).await?;
            }
        }
        Ok(())
    }

    /// Handles that a message is stored, and waits for its end.
    pub(super) async fn on_stored(
        &mut self,
        id: Id,
        rest: Result<Delivery, Reason>,
    ) -> io::Result<()> {
        self.open.set_stored(&id);
        self.write(&Event::Stored { id: id.clone() }).await?;
        match rest {
            Ok(delivery) => {
                self.await_end(id, Some(delivery.op()), delivery);
                Ok(())
            }
            Err(reason) => self.end(id, Err(reason)).await,
        }
    }

    /// Returns whether nothing is open any more but messages that were found in the store, of devices that the input has not
    /// attached.
    pub(super) fn is_all_done(&self) -> bool {
        self.open.has_only_restored() && self.open.restored().messages == self.lanes.unclaimed()
    }

    /// Returns whether there is no connection, and the store has all messages that have not ended.
    pub(super) fn is_kept(&self) -> bool {
        self.connection.since.is_none() && self.open.is_in_store()
    }

    /// Lets messages wait for the store again that it could not take.
    pub(super) fn on_store_recovered(&mut self) {
        if let Some(recovered) = &self.store_recovered {
            recovered.send_replace(());
        }
    }
}

/// Waits until a message is stored or has ended, whichever comes first. While the store fails, until it has recovered.
pub(super) async fn stored_or_ended(
    id: Id,
    mut delivery: Delivery,
    mut recovered: watch::Receiver<()>,
) -> Ended {
    loop {
        recovered.mark_unchanged();
        match delivery.stored().await {
            Ok(()) => break,
            Err(StoredError::StoreFailed(_)) => {
                tokio::select! {
                    biased;
                    ended = &mut delivery => return Ended::Other(id, ended.map_err(Into::into)),
                    _ = recovered.changed() => {}
                }
            }
            Err(_) => return Ended::Other(id, delivery.await.map_err(Into::into)),
        }
    }
    // What has arrived is no longer in the store; what has failed may be.
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut delivery).poll(cx))).await {
        Poll::Ready(Ok(())) => Ended::Other(id, Ok(())),
        Poll::Ready(Err(error)) => Ended::Stored(id, Err(error.into())),
        Poll::Pending => Ended::Stored(id, Ok(delivery)),
    }
}
