//! The template can be read as a table.

use std::io::{Cursor, Read};

use domain::{Column, Market};
use tables::template;

use crate::fixtures::{open, today};

#[test]
fn the_example_of_the_template_is_a_valid_listing() {
    let models: Vec<String> = (0..500).map(|number| format!("модель, {number}")).collect();
    let vocabulary = [(Column::Brand, vec!["=kia".to_owned(), "lada (ваз)".to_owned()]), (Column::Model, models)];
    let bytes = template(&vocabulary, Market::russia(), today()).unwrap();
    let mut table = open("template.xlsx", &bytes).unwrap();
    let header = table.header().clone();
    assert_eq!(header.headers, Column::descriptive().iter().map(|column| column.name()).collect::<Vec<_>>());
    let rows: Vec<_> = table.rows().unwrap().map(Result::unwrap).collect();
    let [example] = rows.as_slice() else { panic!("one example") };
    let listing = example.listing(&header, today()).unwrap();
    assert!(Column::descriptive().iter().all(|column| listing.get(*column).is_some()));

    let mut sheet = String::new();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
    assert!(sheet.contains("<formula1>values!$B$2:$B$501</formula1>"), "{sheet}");
    assert!(sheet.contains("<formula1>1900</formula1><formula2>2027</formula2>"), "{sheet}");
    assert!(sheet.contains("state=\"frozen\""));
}
