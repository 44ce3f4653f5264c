//! The rows, by packet and by stage.

mod acknowledgements;
mod connack;
mod contradictions;
mod ends;
mod fixed_header;
mod publish;
mod reports;
mod silence;
mod topics;

use crate::Row;

pub(crate) fn all() -> Vec<Row> {
    [
        fixed_header::rows(),
        connack::rows(),
        publish::rows(),
        acknowledgements::rows(),
        topics::rows(),
        reports::rows(),
        contradictions::rows(),
        silence::rows(),
        ends::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
