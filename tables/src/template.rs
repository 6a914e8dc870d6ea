//! The template: an empty workbook to fill in.

use chrono::{Datelike, NaiveDate};
use domain::{Column, Kind, Language, Market, Reading, capitalized};
use rust_xlsxwriter::{
    DataValidation, DataValidationErrorStyle, DataValidationRule, Format, Formula, Note, Workbook, Worksheet, XlsxError,
};

use crate::error::{Fault, TableError};
use crate::workbook::column_letters;

/// The template: headers with explanatory notes, an example row, drop-downs of the known values, and limits on numbers
/// and dates. An unknown text only causes a warning, since the car can still be valued. The list of models is that of the make
/// in the same row.
///
/// With a language, headers and messages are in it; without one, headers are the names of the columns.
///
/// # Errors
/// The workbook cannot be built, since a note or a list exceeds a limit of Excel.
pub fn template(
    vocabulary: &Vocabulary,
    market: &Market,
    today: NaiveDate,
    language: Option<Language>,
) -> Result<Vec<u8>, TableError> {
    Template { vocabulary, reading: Reading { market, year: today.year() }, language }
        .build()
        .map_err(|error| Fault::Write(std::io::Error::other(error)).in_file("template.xlsx"))
}

/// The texts that a model knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// The texts by column, sorted.
    pub texts: Vec<(Column, Vec<String>)>,
    /// Makes, each with one of its models.
    pub models: Vec<(String, String)>,
}

/// The number of rows with drop-downs and limits, without the header.
const ROWS: u32 = 10_000;
/// The name of the sheet with the known values.
const VALUES: &str = "values";
/// The name of the sheet with the models of each make.
const MODELS: &str = "models";

struct Template<'t> {
    vocabulary: &'t Vocabulary,
    reading: Reading<'t>,
    language: Option<Language>,
}

impl Template<'_> {
    fn build(&self) -> Result<Vec<u8>, XlsxError> {
        let texts = &self.vocabulary.texts;
        let mut workbook = Workbook::new();
        let cars = workbook.add_worksheet();
        cars.set_name(self.say("Машины", "cars"))?;
        cars.set_freeze_panes(1, 0)?;
        for (index, column) in (0..).zip(Column::descriptive()) {
            self.write_header(cars, index, *column)?;
            let known = texts.iter().position(|(other, values)| other == column && !values.is_empty());
            write_example(cars, index, *column, known.map(|known| &texts[known].1), self.reading.market)?;
            let list = known.map(|known| (known, texts[known].1.len()));
            if let Some(validation) = self.validation(*column, list)? {
                cars.add_data_validation(1, index, ROWS, index, &validation)?;
            }
        }
        write_values(workbook.add_worksheet(), texts)?;
        write_models(workbook.add_worksheet(), &self.vocabulary.models)?;
        workbook.save_to_buffer()
    }

    /// A text in the language of the template, which is English without one.
    fn say<'s>(&self, russian: &'s str, english: &'s str) -> &'s str {
        self.language.unwrap_or(Language::English).of_both((russian, english))
    }

    fn write_header(&self, cars: &mut Worksheet, index: u16, column: Column) -> Result<(), XlsxError> {
        let market = self.reading.market;
        let required = Column::REQUIRED.contains(&column);
        let need = if required {
            self.say("Обязательно.", "Required.")
        } else {
            self.say("Можно не заполнять.", "May be left empty.")
        };
        let headers = match market.headers(column) {
            [] => String::new(),
            headers => {
                format!(" {}: {}.", self.say("Подойдёт и такой заголовок", "Also accepted"), headers.join(" / "))
            }
        };
        let unit = match (column.kind(), market.unit(column)) {
            (Kind::Integer { .. } | Kind::Decimal { .. }, unit) if !unit.is_empty() => unit,
            _ => "",
        };
        let about = match (self.language, unit) {
            // The Russian header already has the unit.
            (Some(Language::Russian), _) => String::new(),
            (_, "") => format!("{}. ", column.description()),
            (_, unit) => format!("{}, in {unit}. ", column.description()),
        };
        let note = Note::new(format!("{about}{need}{headers}")).add_author_prefix(false);
        cars.write_string_with_format(0, index, self.header(column), &Format::new().set_bold())?;
        cars.insert_note(0, index, &note)?;
        cars.set_column_width(index, 18)?;
        Ok(())
    }

    /// The header of a column, with its unit if it is in a language.
    fn header(&self, column: Column) -> String {
        let Some(language) = self.language else { return column.name().to_owned() };
        let label = language.of_both(column.label());
        let label = capitalized(label);
        match language.of_both(self.reading.market.unit_label(column)) {
            "" => label,
            unit => format!("{label}, {unit}"),
        }
    }

    /// The validation rule for a column. `list` is the column index of its known values on the second sheet, and their number:
    /// a list within the rule itself is limited to 255 characters.
    fn validation(&self, column: Column, list: Option<(usize, usize)>) -> Result<Option<DataValidation>, XlsxError> {
        if let Some((index, count)) = list {
            let letters = column_letters(u32::try_from(index).unwrap_or_default());
            let range = format!("={VALUES}!${letters}$2:${letters}${}", count + 1);
            let range = if column == Column::Model { self.models_of_make().unwrap_or(range) } else { range };
            let rule = DataValidation::new().allow_list_formula(Formula::new(range));
            let rule = rule.set_error_style(DataValidationErrorStyle::Warning);
            let message = self.say(
                "Модель оценки не знает этого значения, поэтому цена будет менее точной.",
                "The value is unknown to the model, so the price is less certain.",
            );
            return rule.set_error_message(message).map(Some);
        }
        let bounds = self.reading.shown_bounds(column);
        match (column.kind(), bounds) {
            (Kind::Integer { .. }, Some((min, max))) => {
                #[expect(clippy::cast_possible_truncation, reason = "the bounds of whole numbers are at most millions")]
                let rule = DataValidationRule::Between(min as i32, max as i32);
                self.between(DataValidation::new().allow_whole_number(rule), min, max).map(Some)
            }
            (Kind::Decimal { .. }, Some((min, max))) => {
                let rule = DataValidationRule::Between(min, max);
                self.between(DataValidation::new().allow_decimal_number(rule), min, max).map(Some)
            }
            (Kind::Date, _) => {
                let Some(first) = NaiveDate::from_ymd_opt(1990, 1, 1) else { return Ok(None) };
                let rule = DataValidation::new().allow_date(DataValidationRule::GreaterThanOrEqualTo(first));
                let message = self.say("Введите дату, например 2026-03-17.", "Enter a date such as 2026-03-17.");
                rule.set_error_message(message).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The models of the make in the same row: the makes on the third sheet are sorted, so its models are one range.
    fn models_of_make(&self) -> Option<String> {
        let last = self.vocabulary.models.len() + 1;
        let position = Column::descriptive().iter().position(|column| *column == Column::Brand)?;
        let make = format!("${}2", column_letters(u32::try_from(position).ok()?));
        let makes = format!("{MODELS}!$A$2:$A${last}");
        let offset = format!("OFFSET({MODELS}!$B$1,MATCH({make},{makes},0),0,COUNTIF({makes},{make}),1)");
        (last > 1).then(|| format!("={offset}"))
    }

    fn between(&self, rule: DataValidation, min: f64, max: f64) -> Result<DataValidation, XlsxError> {
        rule.set_error_message(match self.language {
            Some(Language::Russian) => format!("Введите число от {min} до {max}."),
            _ => format!("Enter a number between {min} and {max}."),
        })
    }
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

fn write_values(sheet: &mut Worksheet, vocabulary: &[(Column, Vec<String>)]) -> Result<(), XlsxError> {
    sheet.set_name(VALUES)?.set_hidden(true);
    for (index, (column, values)) in (0..).zip(vocabulary) {
        sheet.write_string(0, index, column.name())?;
        sheet.set_column_width(index, 24)?;
        for (row, value) in (1..).zip(values) {
            sheet.write_string(row, index, value)?;
        }
    }
    Ok(())
}

/// Writes makes and models, sorted by make.
fn write_models(sheet: &mut Worksheet, models: &[(String, String)]) -> Result<(), XlsxError> {
    sheet.set_name(MODELS)?.set_hidden(true);
    let mut sorted: Vec<&(String, String)> = models.iter().collect();
    sorted.sort_unstable();
    for (row, (make, model)) in (1..).zip(sorted) {
        sheet.write_string(row, 0, make)?;
        sheet.write_string(row, 1, model)?;
    }
    Ok(())
}
