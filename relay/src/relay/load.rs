//! How much a number of messages holds.

use iotcore_gateway_tokio::options::QueueLimit;

use crate::{operation::Request, vitals};

/// A number of messages and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    pub(super) fn add_all(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    /// Returns what is left of it without the other one.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Adds a request if it is a message.
    pub(super) fn add_request(&mut self, request: &Request) {
        if let Some(publication) = request.action.publication() {
            self.add(publication.payload.len());
        }
    }

    /// Removes a request if it is a message.
    pub(super) fn remove_request(&mut self, request: &Request) {
        if let Some(publication) = request.action.publication() {
            self.remove(publication.payload.len());
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.messages == 0
    }

    pub(super) fn reaches(self, limit: QueueLimit) -> bool {
        self.messages >= limit.messages || self.bytes >= limit.bytes
    }
}

impl From<Load> for vitals::Open {
    fn from(Load { messages, bytes }: Load) -> Self {
        Self { messages, bytes }
    }
}
