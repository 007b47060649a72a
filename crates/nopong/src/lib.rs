//! nopong
