//! An uploaded workbook is either valued or rejected.

#![no_main]

use std::convert::Infallible;
use std::io::Cursor;

use chrono::NaiveDate;
use domain::{Listing, Valuation};
use libfuzzer_sys::fuzz_target;
use tables::{Options, Source, Valuer, value_table};

fuzz_target!(|bytes: &[u8]| {
    let today = NaiveDate::default();
    let value = |listings: Vec<Listing>| {
        let quantiles = vec![1.0, 2.0, 3.0];
        let one = Valuation {
            price: 2.0,
            low: 1.0,
            high: 3.0,
            level: 0.8,
            quantiles,
            as_of: today,
            market_as_of: None,
            warnings: Vec::new(),
        };
        Ok::<_, Infallible>(vec![one; listings.len()])
    };
    let valuer = Valuer { today, threads: 1, admit: &|_| None, presentation: None, observe: None, value: &value };
    let mut valued = Cursor::new(Vec::new());
    let source = Source::bytes("cars.xlsx", bytes);
    if value_table(source, &mut valued, Options::default(), &valuer).is_ok() {
        // The output must be a valid workbook with its headers.
        let valued = valued.into_inner();
        let reopened = tables::Table::open(Source::bytes("cars.xlsx", &valued), Options::default());
        assert!(reopened.is_ok(), "{:?}", reopened.err());
    }
});
