//! redis.conf, sentinel.conf and valkey.conf as redis-server takes them, without starting one.
//!
//! What it does:
//!
//! - [`load`] reads a file with its includes and command line arguments in the server's own order and says what the
//!   server would refuse (its words, the file and the line), what it would take to run, and which file and line set
//!   each value ([`Loaded`]).
//! - [`Document`] holds a file line by line without losing a byte and makes the smallest change asked for.
//! - [`Secret`] values are kept, compared and handed on, never shown.
//!
//! What it does not: no IO. Whoever calls gives a [`Files`], which answers for the machine; with its defaults only the
//! text is judged. It does not know which server is installed either: that is a [`Release`].
//!
//! ```
//! use redis_conf::{InMemory, Release, Start, load};
//!
//! let files = InMemory::one("/etc/redis.conf", b"port 6380\nbind 127.0.0.1\nmaxmemory 1tb\n");
//! let loaded = load(&Start::file(Release::Redis70, "/etc/redis.conf"), &files).expect("readable");
//! assert_eq!(loaded.errors[0].line(), Some(3));
//! assert_eq!(loaded.errors[0].says, "argument must be a memory value");
//! let port = loaded.get("port").expect("known");
//! assert_eq!((port.text().as_deref(), port.origin.line()), (Some("6380"), Some(1)));
//! ```

mod acl;
mod argv;
mod commands;
mod document;
mod exercise;
mod files;
mod listen;
mod load;
mod number;
mod redact;
mod release;
mod sds;
mod sentinel;
mod setting;
mod source;
mod special;
mod startup;
pub mod table;

pub use document::{Change, Document};
#[doc(hidden)]
pub use exercise::exercise;
pub use files::{Bindable, Files, InMemory, OsError, Secret, TlsFault, TlsFiles};
pub use load::{Start, load};
pub use redact::{BYTE_ORDER_MARK, redact_line};
pub use release::{Fork, Release};
pub use sds::{quote, split_args};
pub use sentinel::Monitored;
pub use setting::{Loaded, Problem, Setting, User, Value};
pub use source::Origin;
pub use table::evident_name;
