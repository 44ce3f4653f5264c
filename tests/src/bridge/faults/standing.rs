//! The active faults that have not been used up.

use core::num::{NonZeroU32, NonZeroUsize};

use super::{Direction, Fault, FaultKind, RefuseBy, Treatment};

/// The active faults, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    faults: Vec<Fault>,
}

impl Standing {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.faults
    }

    /// Removes the faults that are limited to a client, or all.
    pub(crate) fn clear(&mut self, client: Option<&str>) {
        self.faults
            .retain(|fault| client.is_some() && fault.client.as_deref() != client);
    }

    /// Applies the oldest fault that matches the client, if its name is known, and from which `pick` returns something.
    /// Returns the fault as it was before.
    pub(crate) fn strike<T>(
        &mut self,
        client: Option<&str>,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<(Fault, T)> {
        let (index, picked) = self.find(client, pick)?;
        let fault = self.faults.get_mut(index)?;
        let struck = fault.clone();
        if fault.kind.use_up() {
            self.faults.remove(index);
        }
        Some((struck, picked))
    }

    /// Refuses a transport whose client's name is not known yet. A refusal by CONNACK waits for CONNECT, and blocks the
    /// refusals injected after it.
    pub(crate) fn refuse_transport(&mut self) -> Option<(Fault, RefuseBy)> {
        match self.find(None, FaultKind::refusal)? {
            (_, RefuseBy::Connack(_)) => None,
            _ => self.strike(None, FaultKind::refusal),
        }
    }

    /// Returns the maximum number of bytes per segment.
    pub(crate) fn segment(&self, client: Option<&str>) -> Option<NonZeroUsize> {
        let length = |kind: &FaultKind| match kind {
            FaultKind::Segment { length } => Some(*length),
            _ => None,
        };
        self.find(client, length).map(|(_, length)| length)
    }

    /// Returns the rate of the link in a direction, in bytes a second.
    pub(crate) fn rate(&self, client: Option<&str>, direction: Direction) -> Option<NonZeroU32> {
        let rate = |kind: &FaultKind| match kind {
            FaultKind::Rate {
                direction: of,
                bytes,
            } if *of == direction => Some(*bytes),
            _ => None,
        };
        self.find(client, rate).map(|(_, bytes)| bytes)
    }

    fn find<T>(
        &self,
        client: Option<&str>,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<(usize, T)> {
        let faults = self.faults.iter().enumerate();
        let mut fitting =
            faults.filter(|(_, fault)| fault.client.is_none() || fault.client.as_deref() == client);
        fitting.find_map(|(index, fault)| Some((index, pick(&fault.kind)?)))
    }
}

impl FaultKind {
    pub(crate) fn refusal(&self) -> Option<RefuseBy> {
        match self {
            Self::Refuse { by, .. } => Some(*by),
            _ => None,
        }
    }

    /// Counts an application; returns whether it was the last.
    fn use_up(&mut self) -> bool {
        match self {
            Self::Refuse { count, .. }
            | Self::LoseReports { count }
            | Self::Grant { count, .. } => count_down(count),
            Self::Answer { treatment, .. } => match treatment {
                Treatment::Hold { count }
                | Treatment::Delay { count, .. }
                | Treatment::Double { count } => count_down(count),
                Treatment::Reorder { .. } => false,
            },
            Self::Cut { .. } => true,
            Self::Poison { .. }
            | Self::Segment { .. }
            | Self::Limit { .. }
            | Self::Rate { .. }
            | Self::Raw { .. }
            | Self::Release { .. }
            | Self::Service { .. }
            | Self::Stall { .. }
            | Self::Clear => false,
        }
    }
}

/// Decrements the remaining count; returns whether that was the last.
fn count_down(count: &mut Option<NonZeroU32>) -> bool {
    let Some(left) = *count else {
        return false;
    };
    *count = NonZeroU32::new(left.get() - 1);
    count.is_none()
}
