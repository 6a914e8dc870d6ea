//! The market over HTTP: what the listings say about prices, without a car to value.

pub(crate) mod prices;
pub(crate) mod report;
