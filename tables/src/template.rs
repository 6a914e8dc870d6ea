//! The template: an empty workbook to fill in.

use chrono::{Datelike, NaiveDate};
use domain::{Column, Kind, Market, Reading};
use rust_xlsxwriter::{
    DataValidation, DataValidationErrorStyle, DataValidationRule, Format, Formula, Note, Workbook, Worksheet, XlsxError,
};

use crate::error::{Fault, TableError};
use crate::workbook::column_letters;

/// The template: headers with explanatory notes, an example row, drop-downs of the known values, and limits on numbers
/// and dates. An unknown text only causes a warning, since the car can still be valued.
///
/// # Errors
/// The workbook cannot be built, since a note or a list exceeds a limit of Excel.
pub fn template(
    vocabulary: &[(Column, Vec<String>)],
    market: &Market,
    today: NaiveDate,
) -> Result<Vec<u8>, TableError> {
    build(vocabulary, Reading { market, year: today.year() })
        .map_err(|error| Fault::Write(std::io::Error::other(error)).in_file("template.xlsx"))
}

/// The number of rows with drop-downs and limits, without the header.
const ROWS: u32 = 10_000;
/// The name of the sheet with the known values.
const VALUES: &str = "values";

fn build(vocabulary: &[(Column, Vec<String>)], reading: Reading<'_>) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let cars = workbook.add_worksheet();
    cars.set_name("cars")?;
    cars.set_freeze_panes(1, 0)?;
    for (index, column) in (0..).zip(Column::descriptive()) {
        write_header(cars, index, *column, reading.market)?;
        let known = vocabulary.iter().position(|(other, values)| other == column && !values.is_empty());
        write_example(cars, index, *column, known.map(|known| &vocabulary[known].1), reading.market)?;
        let list = known.map(|known| (known, vocabulary[known].1.len()));
        if let Some(validation) = validation(*column, list, reading)? {
            cars.add_data_validation(1, index, ROWS, index, &validation)?;
        }
    }
    write_values(workbook.add_worksheet(), vocabulary)?;
    workbook.save_to_buffer()
}

fn write_header(cars: &mut Worksheet, index: u16, column: Column, market: &Market) -> Result<(), XlsxError> {
    let required = Column::REQUIRED.contains(&column);
    let need = if required { "Required." } else { "May be left empty." };
    let headers = match market.headers(column) {
        [] => String::new(),
        headers => format!(" Also accepted: {}.", headers.join(" / ")),
    };
    let unit = match (column.kind(), market.unit(column)) {
        (Kind::Integer { .. } | Kind::Decimal { .. }, unit) if !unit.is_empty() => format!(", in {unit}"),
        _ => String::new(),
    };
    let note = Note::new(format!("{}{unit}. {need}{headers}", column.description())).add_author_prefix(false);
    let bold = Format::new().set_bold();
    cars.write_string_with_format(0, index, column.name(), &bold)?;
    cars.insert_note(0, index, &note)?;
    cars.set_column_width(index, 18)?;
    Ok(())
}

/// Writes an example of a car. If the model knows texts of the column, it is one of these.
fn write_example(
    cars: &mut Worksheet,
    index: u16,
    column: Column,
    known: Option<&Vec<String>>,
    market: &Market,
) -> Result<(), XlsxError> {
    let example = match known.and_then(|known| Some((known, known.first()?))) {
        Some((known, first)) if !known.contains(&market.canonical(column, column.example())) => first,
        _ => column.example(),
    };
    match column.kind() {
        Kind::Integer { .. } | Kind::Decimal { .. } if example.parse::<f64>().is_ok() => {
            cars.write_number(1, index, example.parse::<f64>().unwrap_or_default())?;
        }
        Kind::Date => {
            let format = Format::new().set_num_format("yyyy-mm-dd");
            cars.set_column_format(index, &format)?;
            match example.parse::<NaiveDate>() {
                Ok(date) => cars.write_date_with_format(1, index, date, &format)?,
                Err(_) => cars.write_string(1, index, example)?,
            };
        }
        _ => {
            cars.write_string(1, index, example)?;
        }
    }
    Ok(())
}

/// The validation rule for a column. `list` is the column index of its known values on the second sheet, and their number:
/// a list within the rule itself is limited to 255 characters.
fn validation(
    column: Column,
    list: Option<(usize, usize)>,
    reading: Reading<'_>,
) -> Result<Option<DataValidation>, XlsxError> {
    if let Some((index, count)) = list {
        let letters = column_letters(u32::try_from(index).unwrap_or_default());
        let range = Formula::new(format!("={VALUES}!${letters}$2:${letters}${}", count + 1));
        let rule = DataValidation::new().allow_list_formula(range);
        let rule = rule.set_error_style(DataValidationErrorStyle::Warning);
        return rule.set_error_message("The value is unknown to the model, so the price is less certain.").map(Some);
    }
    let bounds = reading.shown_bounds(column);
    match (column.kind(), bounds) {
        (Kind::Integer { .. }, Some((min, max))) => {
            #[expect(clippy::cast_possible_truncation, reason = "the bounds of whole numbers are at most millions")]
            let rule = DataValidationRule::Between(min as i32, max as i32);
            between(DataValidation::new().allow_whole_number(rule), min, max).map(Some)
        }
        (Kind::Decimal { .. }, Some((min, max))) => {
            let rule = DataValidationRule::Between(min, max);
            between(DataValidation::new().allow_decimal_number(rule), min, max).map(Some)
        }
        (Kind::Date, _) => {
            let Some(first) = NaiveDate::from_ymd_opt(1990, 1, 1) else { return Ok(None) };
            let rule = DataValidation::new().allow_date(DataValidationRule::GreaterThanOrEqualTo(first));
            rule.set_error_message("Enter a date such as 2026-03-17.").map(Some)
        }
        _ => Ok(None),
    }
}

fn between(rule: DataValidation, min: f64, max: f64) -> Result<DataValidation, XlsxError> {
    rule.set_error_message(format!("Enter a number between {min} and {max}."))
}

fn write_values(sheet: &mut Worksheet, vocabulary: &[(Column, Vec<String>)]) -> Result<(), XlsxError> {
    sheet.set_name(VALUES)?;
    for (index, (column, values)) in (0..).zip(vocabulary) {
        sheet.write_string(0, index, column.name())?;
        sheet.set_column_width(index, 24)?;
        for (row, value) in (1..).zip(values) {
            sheet.write_string(row, index, value)?;
        }
    }
    Ok(())
}
