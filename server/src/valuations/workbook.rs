//! A workbook of cars, and the template to fill in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Bytes;
use axum::extract::{Request, State as Extracted};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use domain::{Listing, Valuation};
use onnx_model::model::DEFAULT_LEVEL;
use tables::{Fault, Format, Limits, Options, TableError, ValueError, Valuer};
use tokio::sync::Mutex;

use crate::body::Admitted;
use crate::budget::Caller;
use crate::content::{Content, Room, Writer, unwritten};
use crate::engine::Served;
use crate::lane::{Abandon, BULK_THREADS};
use crate::problem::Problem;
use crate::problem::document::{OfTemplate, OfWorkbook};
use crate::state::State;
use crate::upload::{self, Upload, WorkbookForm, limited_name};
use crate::vocabulary;

/// The media type of a workbook.
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The bytes of a workbook.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "a description only")]
pub(crate) struct WorkbookFile(Vec<u8>);

/// Values a workbook
///
/// The same workbook comes back with the columns `predict_value`, `predict_low`, `predict_high` (the 80 % range) and
/// `predict_status` behind the last one; sheets, columns, rows, formats and formulas stay as they were. A row that
/// cannot be valued says why in `predict_status`. Columns are recognised by their names, in English or Russian, on the
/// first visible sheet that has the required ones in its first 100 rows.
#[utoipa::path(
    post, path = "/v1/valuations/xlsx", operation_id = "value_workbook", tag = "valuations",
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook"),
    responses(
        (
            status = 200, description = "The workbook with prices", body = inline(WorkbookFile), content_type = XLSX,
            headers(("Content-Disposition" = String, description = "The name to save it under"))
        ),
        OfWorkbook
    )
)]
pub(crate) async fn value_workbook(Extracted(state): Extracted<State>, request: Request) -> Result<Response, Problem> {
    let (name, workbook) = value_upload(&state, request).await?;
    attachment(&valued_name(&name), workbook).await
}

/// An empty workbook to fill in
///
/// The headers with notes, an example row, and drop-downs of the values that the served model knows.
#[utoipa::path(
    get, path = "/v1/valuations/template.xlsx", operation_id = "get_template", tag = "valuations",
    responses(
        (
            status = 200, description = "The template", body = inline(WorkbookFile), content_type = XLSX,
            headers(("Content-Disposition" = String, description = "The name to save it under"))
        ),
        OfTemplate
    )
)]
pub(crate) async fn get_template(Extracted(state): Extracted<State>) -> Result<Response, Problem> {
    let bytes = state.template().get(&state).await?;
    let headers = [(CONTENT_TYPE, XLSX.to_owned()), (CONTENT_DISPOSITION, disposition("template.xlsx"))];
    Ok((headers, bytes).into_response())
}

/// The template, made once for each version and year.
#[derive(Debug, Default)]
pub(crate) struct Template(Mutex<Option<(TemplateKey, Bytes)>>);

/// The version, and the year, up to which cars are from.
type TemplateKey = (Option<i64>, i32);

impl Template {
    async fn get(&self, state: &State) -> Result<Bytes, Problem> {
        let (served, today) = (state.engine().served().ok(), state.today());
        let key = (served.as_ref().map(|served| served.version), today.year());
        // Held while it is made, which others wait for rather than making it as well.
        let mut made = self.0.lock().await;
        if let Some((_, bytes)) = made.as_ref().filter(|(known, _)| *known == key) {
            return Ok(bytes.clone());
        }
        let bytes = tokio::task::spawn_blocking(move || {
            let known = served.map(|served| vocabulary::all(&served.model.signature().schema));
            tables::template(&known.unwrap_or_default(), today).map(Bytes::from)
        });
        let bytes = bytes.await.map_err(|error| Problem::internal(&error))?;
        let bytes = bytes.map_err(|error| Problem::internal(&error))?;
        *made = Some((key, bytes.clone()));
        Ok(bytes)
    }
}

/// Reads the form, values its workbook, and gives back its name and the new one.
pub(crate) async fn value_upload(state: &State, request: Request) -> Result<(String, Arc<Content>), Problem> {
    let served = state.engine().served()?;
    let caller = Admitted::of(&request)?.caller;
    state.engine().bulk.check_room(caller)?;
    let upload = upload::read(state, request).await?;
    let place = state.engine().bulk.enter(caller)?;
    let abandoned = Abandon::default();
    let room = Room::of_result(state, caller);
    let work = Work::new(state, caller, served, Arc::clone(&abandoned.0));
    let name = upload.name.clone();
    let valued = place.run(upload.inflated, move || work.value(&upload, room)).await?;
    Ok((name, Arc::new(valued)))
}

/// An answer to save as a file.
pub(crate) async fn attachment(disposition: &str, content: Arc<Content>) -> Result<Response, Problem> {
    let (length, body) = content.into_body().await.map_err(|error| Problem::internal(&error))?;
    let mut response = ([(CONTENT_TYPE, XLSX)], body).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The valuation of a workbook by one version.
pub(crate) struct Work {
    state: State,
    caller: Caller,
    served: Arc<Served>,
    today: NaiveDate,
    abandoned: Arc<AtomicBool>,
    /// How many rows have a price so far.
    pub(crate) valued: Arc<AtomicU64>,
}

impl Work {
    pub(crate) fn new(state: &State, caller: Caller, served: Arc<Served>, abandoned: Arc<AtomicBool>) -> Self {
        Self { today: state.today(), state: state.clone(), caller, served, abandoned, valued: Arc::default() }
    }

    /// The workbook with prices.
    pub(crate) fn value(&self, upload: &Upload, room: Room) -> Result<Content, Problem> {
        let source = upload.source().until(Arc::clone(&self.abandoned));
        if Format::detect(&source).map_err(|error| refused(&error))? != Format::Xlsx {
            let detail = format!(
                "{}: this is not an Excel workbook; save it as .xlsx, or use `probeg predict` for CSV",
                upload.name
            );
            return Err(Problem::UnreadableTable { detail });
        }
        let config = self.state.config();
        let limits = Limits { max_rows: config.max_rows as u64, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let value = |listings: Vec<Listing>| self.price(&listings);
        let with = Valuer { today: self.today, threads: BULK_THREADS, value: &value };
        let mut output = Writer::new(room);
        match tables::value_table(source, &mut output, options, &with) {
            Ok(summary) => {
                let (rows, valued) = (summary.rows, summary.valued);
                // The request itself counted as a car, and those that were valued have been charged.
                self.state.keys().charge(self.caller, (rows - valued).saturating_sub(u64::from(valued == 0)));
                tracing::info!(
                    table.rows = rows,
                    table.valued = valued,
                    model.version = self.served.version,
                    "Valued {valued} of {rows} rows of a workbook."
                );
                Ok(output.finish())
            }
            Err(ValueError::Table(error)) => Err(refused(&error)),
            Err(ValueError::Value(problem)) => Err(problem),
        }
    }

    fn price(&self, listings: &[Listing]) -> Result<Vec<Valuation>, Problem> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Problem::Internal);
        }
        let valuations = self.served.model.value(listings, self.today, DEFAULT_LEVEL);
        let valuations = valuations.map_err(|error| Problem::internal(&error))?;
        self.state.metrics().valued(self.served.version, &valuations);
        let count = valuations.len() as u64;
        let before = self.valued.fetch_add(count, Ordering::Relaxed);
        self.state.keys().charge(self.caller, count.saturating_sub(u64::from(before == 0)));
        Ok(valuations)
    }
}

fn refused(error: &TableError) -> Problem {
    if error.is_too_large() {
        Problem::TableTooLarge { detail: error.to_string() }
    } else if error.is_users_fault() {
        Problem::UnreadableTable { detail: error.to_string() }
    } else if let Fault::Write(error) = &error.fault {
        unwritten(error)
    } else {
        Problem::internal(error)
    }
}

/// How the valued workbook of a name is saved.
pub(crate) fn valued_name(name: &str) -> String {
    disposition(&limited_name(name.strip_suffix(".xlsx").unwrap_or(name), "-valued.xlsx"))
}

/// The header under which a file is saved (RFC 6266), with the name in full for those who read RFC 5987.
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
