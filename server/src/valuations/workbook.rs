//! A workbook of cars, and the template to fill in.

use std::io::{BufWriter, Cursor, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Request, State as Extracted};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use domain::{Listing, Valuation};
use onnx_model::model::DEFAULT_LEVEL;
use tables::{Format, Limits, Options, Source, TableError, ValueError, Valuing};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;

use crate::body::refuse;
use crate::engine::{BULK_THREADS, Served};
use crate::problem::Problem;
use crate::problem::document::{OfTemplate, OfWorkbook};
use crate::state::State;
use crate::upload::{self, Content, Upload, WorkbookForm};
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
/// cannot be valued says why in `predict_status`. Columns are recognised by their names, in English or Russian.
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
    attachment(&valued_name(&name), &workbook).await
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
    let today = state.today();
    let place = state.engine().bulk.enter()?;
    let bytes = place.run(move || {
        let known = state.engine().served().map(|served| vocabulary::all(&served.model.signature().schema));
        tables::template(&known.unwrap_or_default(), today).map_err(|error| Problem::internal(&error))
    });
    attachment(&disposition("template.xlsx"), &Content::Memory(bytes.await?)).await
}

/// Reads the form, values its workbook, and gives back its name and the new one.
pub(crate) async fn value_upload(state: &State, request: Request) -> Result<(String, Content), Problem> {
    let served = match state.engine().served() {
        Ok(served) if state.engine().bulk.has_room() => served,
        Ok(_) => return Err(refuse(request, Problem::Overloaded)),
        Err(problem) => return Err(refuse(request, problem)),
    };
    let upload = upload::read(state, request).await?;
    let place = state.engine().bulk.enter()?;
    let abandoned = Abandon::default();
    let work = Work::new(state, served, Arc::clone(&abandoned.0));
    let name = upload.name.clone();
    let valued = place.run(move || work.value(&upload)).await?;
    Ok((name, valued))
}

/// An answer to save as a file.
pub(crate) async fn attachment(disposition: &str, content: &Content) -> Result<Response, Problem> {
    let (length, body) = match content {
        Content::Memory(bytes) => (bytes.len() as u64, Body::from(bytes.clone())),
        Content::Disk(file) => stream(file).await.map_err(|error| Problem::internal(&error))?,
    };
    let mut response = ([(CONTENT_TYPE, XLSX)], body).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// A file, a piece at a time, as its reader takes it in. It may be removed meanwhile.
async fn stream(file: &NamedTempFile) -> std::io::Result<(u64, Body)> {
    let reader = tokio::fs::File::open(file.path()).await?;
    let length = reader.metadata().await?.len();
    let pieces = futures_util::stream::try_unfold(reader, async |mut reader| {
        let mut piece = Vec::with_capacity(PIECE);
        reader.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((!piece.is_empty()).then_some((piece, reader)))
    });
    Ok((length, Body::from_stream(pieces)))
}

const PIECE: usize = 64 << 10;

/// Tells the work, when its request is dropped, that nobody waits for it any more.
#[derive(Default)]
pub(super) struct Abandon(pub(super) Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The valuation of a workbook by one version.
pub(crate) struct Work {
    state: State,
    served: Arc<Served>,
    today: NaiveDate,
    abandoned: Arc<AtomicBool>,
    /// How many rows have a price so far.
    pub(crate) valued: Arc<AtomicU64>,
}

impl Work {
    pub(crate) fn new(state: &State, served: Arc<Served>, abandoned: Arc<AtomicBool>) -> Self {
        Self { today: state.today(), state: state.clone(), served, abandoned, valued: Arc::default() }
    }

    /// The workbook with prices, on the disk where the given one was there.
    pub(crate) fn value(&self, upload: &Upload) -> Result<Content, Problem> {
        let source = upload.source().until(Arc::clone(&self.abandoned));
        if Format::detect(&source).map_err(|error| refused(&error))? != Format::Xlsx {
            let detail = format!(
                "{}: this is not an Excel workbook; save it as .xlsx, or use `probeg predict` for CSV",
                upload.name
            );
            return Err(Problem::UnreadableTable { detail });
        }
        match &upload.content {
            Content::Memory(bytes) => {
                let mut output = Cursor::new(Vec::with_capacity(bytes.len() * 2));
                self.write(source, &mut output)?;
                Ok(Content::Memory(output.into_inner()))
            }
            Content::Disk(_) => {
                let folder = &self.state.config().folder;
                let file = tempfile::Builder::new().prefix("result-").tempfile_in(folder);
                let file = file.map_err(|error| Problem::internal(&error))?;
                self.write(source, &mut BufWriter::new(file.as_file()))?;
                Ok(Content::Disk(file))
            }
        }
    }

    fn write(&self, source: Source<'_>, output: &mut (impl Write + Seek + Send)) -> Result<(), Problem> {
        let config = self.state.config();
        let limits = Limits { max_rows: config.max_rows as u64, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let value = |listings: Vec<Listing>| self.price(&listings);
        let valuing = Valuing { today: self.today, threads: BULK_THREADS, value: &value };
        match tables::value_table(source, output, options, &valuing) {
            Ok(summary) => {
                let (rows, valued) = (summary.rows, summary.valued);
                tracing::info!(
                    table.rows = rows,
                    table.valued = valued,
                    model.version = self.served.version,
                    "Valued {valued} of {rows} rows of a workbook."
                );
                Ok(())
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
        self.valued.fetch_add(valuations.len() as u64, Ordering::Relaxed);
        Ok(valuations)
    }
}

fn refused(error: &TableError) -> Problem {
    if error.is_too_large() {
        Problem::TableTooLarge { detail: error.to_string() }
    } else if error.is_users_fault() {
        Problem::UnreadableTable { detail: error.to_string() }
    } else {
        Problem::internal(error)
    }
}

/// How the valued workbook of a name is saved.
pub(crate) fn valued_name(name: &str) -> String {
    disposition(&format!("{}-valued.xlsx", name.strip_suffix(".xlsx").unwrap_or(name)))
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
