//! A workbook of cars, and the template to fill in.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State as Extracted};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use domain::Listing;
use onnx_model::model::DEFAULT_LEVEL;
use tables::{Format, Options, Source, TableError, ValueError};

use crate::engine::Served;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::problem::document::{OfTemplate, OfWorkbook};
use crate::state::State;
use crate::upload::{self, Upload, WorkbookForm};
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
    let (name, bytes) = value_upload(&state, request).await?;
    let stem = name.strip_suffix(".xlsx").unwrap_or(&name);
    Ok(attachment(&disposition(&format!("{stem}-valued.xlsx")), bytes))
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
    Ok(attachment(&disposition("template.xlsx"), bytes.await?))
}

/// Reads the form, values its workbook, and gives back its name and the new bytes.
pub(crate) async fn value_upload(state: &State, request: Request) -> Result<(String, Vec<u8>), Problem> {
    let served = state.engine().served()?;
    // The place comes before the body, so that waiting uploads are bounded.
    let place = state.engine().bulk.enter()?;
    let Upload { name, bytes } = upload::read(request).await?;
    let today = state.today();
    let abandoned = Arc::new(AtomicBool::new(false));
    let _guard = Abandon(Arc::clone(&abandoned));
    let file = name.clone();
    let metrics = Arc::clone(state.metrics());
    let valued = place.run(move || value(&served, &metrics, (&file, &bytes), today, &abandoned)).await?;
    Ok((name, valued))
}

/// An answer to save as a file.
pub(crate) fn attachment(disposition: &str, bytes: Vec<u8>) -> Response {
    let mut response = ([(CONTENT_TYPE, XLSX)], bytes).into_response();
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// Tells the work, when its request is dropped, that nobody waits for it any more.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn value(
    served: &Served,
    metrics: &Metrics,
    (name, bytes): (&str, &[u8]),
    today: NaiveDate,
    abandoned: &AtomicBool,
) -> Result<Vec<u8>, Problem> {
    let source = Source::bytes(name, bytes);
    if Format::detect(&source).map_err(|error| refused(&error))? != Format::Xlsx {
        let detail =
            format!("{name}: this is not an Excel workbook; save it as .xlsx, or use `probeg predict` for CSV");
        return Err(Problem::UnreadableTable { detail });
    }
    let mut output = Cursor::new(Vec::with_capacity(bytes.len() * 2));
    let mut price = |listings: Vec<Listing>| {
        if abandoned.load(Ordering::Relaxed) {
            return Err(Problem::Internal);
        }
        let valuations = served.model.value(&listings, today, DEFAULT_LEVEL);
        let valuations = valuations.map_err(|error| Problem::internal(&error))?;
        metrics.valued(served.version, &valuations);
        Ok(valuations)
    };
    match tables::value_table(source, &mut output, Options::default(), today, &mut price) {
        Ok(summary) => {
            let (rows, valued) = (summary.rows, summary.valued);
            tracing::info!(table.rows = rows, table.valued = valued, "Valued {valued} of {rows} rows of a workbook.");
            Ok(output.into_inner())
        }
        Err(ValueError::Table(error)) => Err(refused(&error)),
        Err(ValueError::Value(problem)) => Err(problem),
    }
}

fn refused(error: &TableError) -> Problem {
    if error.is_users_fault() {
        Problem::UnreadableTable { detail: error.to_string() }
    } else {
        Problem::internal(error)
    }
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
