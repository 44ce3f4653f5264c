//! Publications in flight, in one lane for each attempt: all of a lane wait equally long, so each lane is in the order of
//! its deadlines and finding the next one looks at the heads only.

use super::{entries::Entries, entry::Place, list::List};
use crate::{clock::Moment, mqtt::PacketId, time::Duration};

/// One lane of an attempt.
#[derive(Debug)]
struct Lane {
    timeout: Duration,
    list: List,
}

/// Every publication at QoS 1 that was written and not yet acknowledged.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    len: usize,
    /// No entry is due before; a lower bound, so that most calls need not look at the heads.
    quiet_until: Option<Moment>,
}

impl Lanes {
    /// The timeout of the first attempt doubles with each, up to `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        let mut lanes = Vec::new();
        let mut timeout = first;
        loop {
            lanes.push(Lane {
                timeout,
                list: List::default(),
            });
            if timeout >= max {
                return Self {
                    lanes,
                    len: 0,
                    quiet_until: None,
                };
            }
            timeout = timeout.saturating_mul(2).min(max);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts an entry at the end of the lane of its first attempt.
    pub(super) fn push(&mut self, entries: &mut Entries, key: u32, id: PacketId, sent: Moment) {
        self.place(entries, key, id, sent, 0);
        self.len += 1;
    }

    /// Moves an entry to the lane of its next attempt.
    pub(super) fn push_again(&mut self, entries: &mut Entries, key: u32, sent: Moment) {
        let Place::InFlight { id, lane, .. } = entries.at(key).place else {
            return;
        };
        self.unlink(entries, key, lane);
        let last = u8::try_from(self.lanes.len() - 1).unwrap_or(u8::MAX);
        self.place(entries, key, id, sent, lane.saturating_add(1).min(last));
    }

    /// Lets an entry wait once more in its lane.
    pub(super) fn postpone(&mut self, entries: &mut Entries, key: u32, listening: Moment) {
        if let Place::InFlight { id, lane, .. } = entries.at(key).place {
            self.unlink(entries, key, lane);
            self.place(entries, key, id, listening, lane);
        }
    }

    fn place(&mut self, entries: &mut Entries, key: u32, id: PacketId, sent: Moment, lane: u8) {
        entries.at_mut(key).place = Place::InFlight { id, sent, lane };
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)) {
            // Behind another in its lane, it is not due before that.
            if lane.list.is_empty() {
                let due = sent + lane.timeout;
                self.quiet_until = Some(self.quiet_until.map_or(due, |quiet| quiet.min(due)));
            }
            lane.list.push_back(entries, key);
        }
    }

    pub(super) fn remove(&mut self, entries: &mut Entries, key: u32, lane: u8) {
        self.unlink(entries, key, lane);
        self.len -= 1;
    }

    fn unlink(&mut self, entries: &mut Entries, key: u32, lane: u8) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)) {
            lane.list.remove(entries, key);
        }
    }

    /// Whether any entry may be due: listening time never runs ahead of the clock.
    #[inline]
    pub(super) fn may_be_overdue(&self, now: Moment) -> bool {
        self.quiet_until.is_some_and(|quiet| quiet <= now)
    }

    /// The entry that is due first, if it is.
    pub(super) fn overdue(&mut self, entries: &Entries, listening: Moment) -> Option<u32> {
        if self.quiet_until? > listening {
            return None;
        }
        let (due, key) = self.first_due(entries).unzip();
        self.quiet_until = due;
        key.filter(|_| due.is_some_and(|due| due <= listening))
    }

    /// The entry that is due first, and when, in listening time.
    pub(super) fn first_due(&self, entries: &Entries) -> Option<(Moment, u32)> {
        let heads = self.lanes.iter().filter_map(|lane| {
            let key = lane.list.head()?;
            match entries.at(key).place {
                Place::InFlight { sent, .. } => Some((sent + lane.timeout, key)),
                Place::Waiting | Place::HandingOver { .. } => None,
            }
        });
        heads.min()
    }

    /// Every entry in flight, by lane.
    pub(super) fn iter<'a>(&'a self, entries: &'a Entries) -> impl Iterator<Item = u32> + 'a {
        self.lanes.iter().flat_map(|lane| lane.list.iter(entries))
    }

    /// The entries written last, at most `most` of each lane.
    pub(super) fn newest<'a>(
        &'a self,
        most: usize,
        entries: &'a Entries,
    ) -> impl Iterator<Item = u32> + 'a {
        let lanes = self.lanes.iter();
        lanes.flat_map(move |lane| lane.list.iter_back(entries).take(most))
    }
}
