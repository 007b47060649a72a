//! The conversation: PING first, everything else only with what answers like Redis.
//!
//! Two round trips: PING alone, whose answer shows what speaks there and whether a password is wanted; then AUTH,
//! SELECT, INFO, CONFIG GET and the rest in one write. So a password never goes to something that is not Redis.

mod acl;
mod ask;
mod channel;

pub use ask::{Login, PATIENCE, Peer, converse};
pub use channel::{Channel, Conversation};
