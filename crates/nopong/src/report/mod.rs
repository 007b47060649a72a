//! Wording. One file for each format; none of them decides anything.

pub mod json;
