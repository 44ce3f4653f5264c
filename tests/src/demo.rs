//! What the examples of the adapters share: where to connect, the cloud's side when there is no real
//! one, and the timeline on the terminal.

mod cloud;
mod ending;
mod place;
mod timeline;

pub use self::cloud::Cloud;
pub use self::ending::ending;
pub use self::place::{Arguments, Place, PlaceError, Trust};
pub use self::timeline::{Step, Timeline};
