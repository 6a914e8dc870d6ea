//! Valuations of one car, many cars, or a workbook of cars.

mod asking_price;
pub(crate) mod batch;
mod capacity;
mod cents;
pub(crate) mod check;
mod comparables;
mod confidence;
mod curves;
mod distribution;
mod extras;
mod factors;
pub(crate) mod jobs;
pub(crate) mod listing;
mod make;
mod narrow;
pub(crate) mod one;
pub(crate) mod predecessor;
mod query;
mod shapley;
mod similar;
pub(crate) mod suggestions;
mod usual;
mod valuation;
pub(crate) mod versions;
pub(crate) mod vocabulary;
pub(crate) mod workbook;
