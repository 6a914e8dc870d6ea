//! The domain of Probeg: listings and their columns, the feature schema, vocabularies, accuracy.
//!
//! Plain values and pure functions: no I/O, no async, no tensors.

pub mod accuracy;
pub mod calibration;
pub mod cell;
pub mod column;
pub mod feature;
pub mod fold;
pub mod form;
pub mod generation;
pub mod heading;
pub mod identity;
pub mod importance;
mod language;
pub mod listing;
pub mod market;
pub mod message;
pub mod moment;
pub mod names;
pub mod problem;
pub mod quantile;
pub mod residuals;
mod split_counts;
pub mod stability;
pub mod task;
pub mod valuation;
pub mod value;
pub mod vocabulary;

pub use cell::Cell;
pub use column::{Column, Kind};
pub use language::{Language, capitalized};
pub use listing::{Listing, PricedListing, Targets};
pub use market::{Market, Reading};
pub use problem::{Problem, Reason};
pub use split_counts::SplitCounts;
pub use task::Task;
pub use valuation::{Valuation, Warning};
pub use value::Value;
