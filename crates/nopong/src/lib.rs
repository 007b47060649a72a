//! nopong: why is there no PONG, with the proof.
//!
//! One direction: [`target`] says what is dialled, [`probe`] looks and fills the [`evidence`], [`cause`] and
//! [`diagnosis`] judge it without looking, [`report`] words the judgement without deciding anything.

pub mod apply;
pub mod cause;
pub mod cli;
pub mod cloud;
pub mod diagnosis;
pub mod dials;
pub mod evidence;
pub mod explain;
pub mod kube;
pub mod listen;
pub mod plan;
pub mod probe;
pub mod report;
pub mod secret;
pub mod sys;
pub mod target;
pub mod text;
pub mod vantage;
pub mod wire;
