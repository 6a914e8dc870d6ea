//! The JSON body of a valuation.

#![no_main]

use chrono::NaiveDate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = server::is_listing(body, 16, NaiveDate::default());
});
