//! Valuations of one car, many cars, or a workbook of cars.

pub(crate) mod batch;
mod capacity;
mod comparables;
mod factors;
pub(crate) mod jobs;
pub(crate) mod listing;
mod make;
pub(crate) mod one;
pub(crate) mod predecessor;
mod query;
mod valuation;
pub(crate) mod vocabulary;
pub(crate) mod workbook;
