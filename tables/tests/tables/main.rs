//! Reading, rejecting, valuing and writing tables.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod fixtures;
mod hostile;
mod import;
mod presentation;
mod splice;
mod template;
mod value;
