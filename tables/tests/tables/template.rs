//! The template can be read as a table.

use std::io::{Cursor, Read};

use calamine::{Reader, Xlsx};
use domain::{Column, Language, Market};
use tables::{Options, Source, Table, Vocabulary, template};

use crate::fixtures::{open, today};

#[test]
fn the_example_of_the_template_is_a_valid_listing() {
    let models: Vec<String> = (0..500).map(|number| format!("модель, {number}")).collect();
    let texts = vec![(Column::Brand, vec!["=kia".to_owned(), "lada (ваз)".to_owned()]), (Column::Model, models)];
    let vocabulary = Vocabulary { texts, models: Vec::new() };
    let bytes = template(&vocabulary, Market::russia(), today(), None).unwrap();
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

#[test]
fn a_template_in_a_language_is_understood_in_every_market() {
    for market in Market::built_in() {
        for language in [Language::Russian, Language::English] {
            let bytes = template(&Vocabulary::default(), market, today(), Some(language)).unwrap();
            let options = Options { market: market.clone(), ..Options::default() };
            let table = Table::open(Source::bytes("template.xlsx", &bytes), options).unwrap();
            assert_eq!(table.header().unrecognized(), Vec::<&str>::new(), "{} {language:?}", market.name());
            let columns: Vec<Column> = table.header().columns().map(|(column, _)| column).collect();
            assert_eq!(columns, Column::descriptive(), "{} {language:?}", market.name());
        }
    }
}

#[test]
fn the_models_offered_are_those_of_the_make() {
    let models = [("kia", "rio"), ("audi", "a4"), ("kia", "ceed")];
    let vocabulary = Vocabulary {
        texts: vec![
            (Column::Brand, vec!["audi".to_owned(), "kia".to_owned()]),
            (Column::Model, vec!["a4".to_owned(), "ceed".to_owned(), "rio".to_owned()]),
        ],
        models: models.map(|(make, model)| (make.to_owned(), model.to_owned())).to_vec(),
    };
    let bytes = template(&vocabulary, Market::russia(), today(), Some(Language::Russian)).unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
    let mut sheet = String::new();
    archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
    let list = "OFFSET(models!$B$1,MATCH($A2,models!$A$2:$A$4,0),0,COUNTIF(models!$A$2:$A$4,$A2),1)";
    assert!(sheet.contains(list), "{sheet}");
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(&bytes)).unwrap();
    let range = workbook.worksheet_range("models").unwrap();
    let makes: Vec<String> = range.rows().map(|row| row[0].to_string()).collect();
    assert_eq!(makes, ["audi", "kia", "kia"]);
}
