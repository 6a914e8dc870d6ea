//! Workbooks of cars, and the template to fill in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{Query, Request, State as Extracted};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use domain::{Language, Listing, Valuation};
use onnx_model::model::DEFAULT_LEVEL;
use tables::{
    Fault, Format, Header, Limits, Options, Presentation, Rejection, RowResult, Source, TableError, ValueError,
    ValuedCounts, ValuedTable, Valuer,
};

use super::make::{find_unknown, unknown_make};
use super::query::{ResultFormat, ResultLanguage, TableQuery, TemplateQuery};
use crate::config::Config;
use crate::http::body::Admitted;
use crate::http::budget::Caller;
use crate::http::file::{FileWriter, Quota, StoredFile, write_error};
use crate::http::problem::Problem;
use crate::http::problem::openapi::{TemplateProblems, WorkbookProblems};
use crate::http::upload::{Upload, WorkbookForm, limited_name, receive_file};
use crate::serving::bulk::{BULK_THREADS, CancelOnDrop};
use crate::serving::models::Served;
use crate::serving::portfolio::Collector;
use crate::state::State;

/// The media type of a workbook.
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The media type of a CSV.
pub(crate) const CSV: &str = "text/csv; charset=utf-8";

/// The bytes of a workbook.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only a schema")]
pub(crate) struct WorkbookFile(Vec<u8>);

/// Values a workbook
///
/// Returns the workbook with the columns `predict_value`, `predict_low`, `predict_high` (the 80 % interval) and
/// `predict_status` appended; sheets, columns, rows, formats and formulas stay as they are. If a row cannot be valued, for
/// example because the model does not know its make, `predict_status` says why. With `language`, the result is for people. Columns are recognized by their names, in
/// English or Russian, on the first visible sheet that has the required ones in its first 100 rows. `mapping`
/// says what others are; `/v1/valuations/check` tells which those are.
#[utoipa::path(
    post, path = "/v1/valuations/xlsx", operation_id = "value_workbook", tag = "valuations", params(TableQuery),
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook"),
    responses(
        (
            status = 200, description = "The workbook with prices; a CSV (`text/csv`) for a CSV, unless `format` is `xlsx`", body = inline(WorkbookFile), content_type = XLSX,
            headers(("Content-Disposition" = String, description = "The file name"))
        ),
        WorkbookProblems
    )
)]
pub(crate) async fn value_workbook(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = TableQuery::read(&pairs).map_err(Problem::Invalid)?;
    let format = query.format;
    let (name, workbook) = value_upload(&state, query, request).await?;
    let name = result_name(name, format);
    attachment(&valued_disposition(&name), media_type(&name), workbook).await
}

/// Downloads an empty workbook to fill in
///
/// It has headers with notes, an example row, and drop-downs of the values that the model in service knows; that of models has
/// the models of the make in the same row.
#[utoipa::path(
    get, path = "/v1/valuations/template.xlsx", operation_id = "get_template", tag = "valuations", params(TemplateQuery),
    responses(
        (
            status = 200, description = "The template", body = inline(WorkbookFile), content_type = XLSX,
            headers(("Content-Disposition" = String, description = "The file name"))
        ),
        TemplateProblems
    )
)]
pub(crate) async fn get_template(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let TemplateQuery { task, language } = TemplateQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = match state.served(task.as_deref()).await {
        Ok(served) => Some(served),
        Err(Problem::NoModel) => None,
        Err(problem) => return Err(problem),
    };
    let bytes = state.templates().get(served, state.today(), language.map(Language::from)).await?;
    let headers = [(CONTENT_TYPE, XLSX.to_owned()), (CONTENT_DISPOSITION, disposition("template.xlsx"))];
    Ok((headers, bytes).into_response())
}

/// Values the workbook of a form; returns its name and the valued workbook.
pub(crate) async fn value_upload(
    state: &State,
    query: TableQuery,
    request: Request,
) -> Result<(String, Arc<StoredFile>), Problem> {
    let served = state.served(query.task.as_deref()).await?;
    let caller = Admitted::of(&request)?.caller;
    state.engine().bulk.check_capacity(caller)?;
    let upload = receive_file(state.buffers(), request).await?;
    let slot = state.engine().bulk.enter(caller)?;
    let cancelled = CancelOnDrop::default();
    let quota = Quota::for_result(state.buffers(), caller);
    let valuation = WorkbookValuation::new(state, caller, query, served, Arc::clone(&cancelled.0));
    let name = upload.name.clone();
    let valued = slot.run(upload.inflated_bytes, move || valuation.run(&upload, quota)).await?;
    Ok((name, Arc::new(valued)))
}

/// A response that clients save as a file.
pub(crate) async fn attachment(
    disposition: &str,
    media_type: &'static str,
    file: Arc<StoredFile>,
) -> Result<Response, Problem> {
    let (length, body) = file.into_body().await.map_err(|error| Problem::internal(&error))?;
    let mut response = ([(CONTENT_TYPE, media_type)], body).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The valuation of a workbook with one model version.
pub(crate) struct WorkbookValuation {
    state: State,
    caller: Caller,
    query: TableQuery,
    served: Arc<Served>,
    today: NaiveDate,
    cancelled: Arc<AtomicBool>,
    /// The number of rows with a price so far.
    pub(crate) valued: Arc<AtomicU64>,
    /// The header of the table, once it is valued.
    pub(crate) header: Arc<OnceLock<Header>>,
    /// What the prices add up to, so far.
    pub(crate) portfolio: Arc<Collector>,
}

impl WorkbookValuation {
    pub(crate) fn new(
        state: &State,
        caller: Caller,
        query: TableQuery,
        served: Arc<Served>,
        cancelled: Arc<AtomicBool>,
    ) -> Self {
        let (state, today) = (state.clone(), state.today());
        Self {
            today,
            state,
            caller,
            query,
            served,
            cancelled,
            valued: Arc::default(),
            header: Arc::default(),
            portfolio: Arc::default(),
        }
    }

    /// Values the rows of the workbook.
    pub(crate) fn run(&self, upload: &Upload, quota: Quota) -> Result<StoredFile, Problem> {
        let source = upload.source().cancelled_by(Arc::clone(&self.cancelled));
        let options = read_options(self.state.config(), &self.served, &source, upload)?;
        let converted = self.convert(&source, &options)?;
        let name = csv_stem(&upload.name).map_or_else(String::new, |stem| limited_name(stem, ".xlsx"));
        let source = match &converted {
            Some(workbook) => workbook.source(&name).cancelled_by(Arc::clone(&self.cancelled)),
            None => source,
        };
        let admit = |listing: &mut Listing| self.admit(listing);
        let value = |listings: Vec<Listing>| self.price(&listings);
        let presentation = self.query.language.map(|language| self.presentation(language));
        let presentation = presentation.as_ref();
        let observe = |rows: Vec<RowResult>| self.portfolio.add(rows);
        let valuer = Valuer {
            today: self.today,
            threads: BULK_THREADS,
            admit: &admit,
            presentation,
            value: &value,
            observe: Some(&observe),
        };
        let mut output = FileWriter::new(quota);
        match tables::value_table(source, &mut output, options, &valuer) {
            Ok(ValuedTable { counts: ValuedCounts { rows, valued: priced }, header }) => {
                // Nobody else sets it.
                let _ = self.header.set(header);
                // One car was charged on admission, and the valued rows have been charged.
                self.state.keys().charge(self.caller, (rows - priced).saturating_sub(u64::from(priced == 0)));
                tracing::info!(
                    table.rows = rows,
                    table.valued = priced,
                    model.version = self.served.version,
                    "Valued {priced} of {rows} rows of a workbook."
                );
                Ok(output.finish())
            }
            Err(ValueError::Table(error)) => Err(table_problem(&error)),
            Err(ValueError::Value(problem)) => Err(problem),
        }
    }

    /// The CSV as a workbook, if a workbook is asked for.
    fn convert(&self, source: &Source<'_>, options: &Options) -> Result<Option<StoredFile>, Problem> {
        let format = Format::detect(source).map_err(|error| table_problem(&error))?;
        if format == Format::Xlsx || self.query.format != Some(ResultFormat::Xlsx) {
            return Ok(None);
        }
        let mut output = FileWriter::new(Quota::for_result(self.state.buffers(), self.caller));
        tables::convert_to_workbook(source, options, &mut output).map_err(|error| table_problem(&error))?;
        Ok(Some(output.finish()))
    }

    /// How results are written for people.
    fn presentation(&self, language: ResultLanguage) -> Presentation {
        let language = match language {
            ResultLanguage::Sheet => None,
            ResultLanguage::Ru => Some(Language::Russian),
            ResultLanguage::En => Some(Language::English),
        };
        let task = self.served.task();
        // Both languages write a currency with its sign; days are spelled out.
        let (russian, english) = task.market.unit_label(task.target);
        let unit = if language == Some(Language::English) { english } else { russian };
        let model = format!("{} {}", task.name, self.served.version);
        Presentation { language, unit: unit.to_owned(), target: task.target, model }
    }

    /// Replaces names by those that can only be meant. Returns why the car is not valued, if its make is unknown and those are not
    /// allowed.
    fn admit(&self, listing: &mut Listing) -> Option<Rejection> {
        self.served.names.resolve(listing, self.served.market());
        if self.query.allow_unknown {
            return None;
        }
        find_unknown(self.state.metrics(), &self.served, listing).map(|make| unknown_make(listing, make))
    }

    fn price(&self, listings: &[Listing]) -> Result<Vec<Valuation>, Problem> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Problem::Internal);
        }
        let valuations = self.served.value(listings, self.today, DEFAULT_LEVEL);
        let valuations = valuations.map_err(|error| Problem::internal(&error))?;
        self.state.metrics().record_valuations(&self.served.task().name, self.served.version, &valuations);
        let count = valuations.len() as u64;
        let before = self.valued.fetch_add(count, Ordering::Relaxed);
        self.state.keys().charge(self.caller, count.saturating_sub(u64::from(before == 0)));
        Ok(valuations)
    }
}

/// How a table is read: within the limits of this server, in the market of the model. A CSV that is not UTF-8 is
/// read as Excel saves it in the language of that market.
pub(crate) fn read_options(
    config: &Config,
    served: &Served,
    source: &Source<'_>,
    upload: &Upload,
) -> Result<Options, Problem> {
    let limits = Limits { max_rows: config.max_rows as u64, ..Limits::default() };
    let format = Format::detect(source).map_err(|error| table_problem(&error))?;
    if format == Format::CsvGz || (format == Format::Csv && csv_stem(&upload.name).is_none()) {
        let detail = format!(
            "{}: this is neither an Excel workbook (.xlsx) nor a CSV file (.csv, .tsv or .txt); save it as one of these",
            upload.name
        );
        return Err(Problem::UnreadableTable { detail });
    }
    let encoding = tables::guess_encoding(source, served.market()).map_err(|error| table_problem(&error))?;
    let (market, mapping) = (served.market().clone(), upload.mapping.clone());
    Ok(Options { limits, encoding, market, mapping, ..Options::default() })
}

pub(crate) fn table_problem(error: &TableError) -> Problem {
    if error.is_too_large() {
        Problem::TableTooLarge { detail: error.to_string() }
    } else if error.is_invalid_file() {
        Problem::UnreadableTable { detail: error.to_string() }
    } else if let Fault::Write(error) = &error.fault {
        write_error(error)
    } else {
        Problem::internal(error)
    }
}

/// The extensions of CSV files, whose result is CSV.
const CSV_EXTENSIONS: [&str; 3] = [".csv", ".tsv", ".txt"];

fn csv_stem(name: &str) -> Option<&str> {
    let ends = |extension: &&str| name.to_lowercase().ends_with(*extension);
    let extension = CSV_EXTENSIONS.into_iter().find(ends)?;
    // The extension is ASCII, so its length is the same in any case.
    name.get(..name.len() - extension.len())
}

/// The `Content-Disposition` header of a valued workbook or CSV.
pub(crate) fn valued_disposition(name: &str) -> String {
    match csv_stem(name) {
        Some(stem) => disposition(&limited_name(stem, "-valued.csv")),
        None => disposition(&limited_name(name.strip_suffix(".xlsx").unwrap_or(name), "-valued.xlsx")),
    }
}

/// The name of the file whose format the result has: that of a CSV of which a workbook was made ends in `.xlsx`.
pub(crate) fn result_name(name: String, format: Option<ResultFormat>) -> String {
    match (csv_stem(&name), format) {
        (Some(stem), Some(ResultFormat::Xlsx)) => limited_name(stem, ".xlsx"),
        _ => name,
    }
}

/// The media type of the result for a file of this name.
pub(crate) fn media_type(name: &str) -> &'static str {
    if csv_stem(name).is_some() { CSV } else { XLSX }
}

/// The `Content-Disposition` header (RFC 6266), with the full name for clients that support RFC 5987.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(|c| !c.is_control())
        .map(|c| if c.is_ascii() && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let escape = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    let full: String = name.bytes().map(escape).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_header() {
        assert_eq!(disposition("cars-valued.xlsx"), "attachment; filename=\"cars-valued.xlsx\"");
        assert_eq!(
            disposition("а\"\r\n.xlsx"),
            "attachment; filename=\"__.xlsx\"; filename*=UTF-8''%D0%B0%22%0D%0A.xlsx"
        );
    }
}
