//! Tables of cars, checked before they are valued.

use axum::Json;
use axum::extract::{Query, Request, State as Extracted};
use domain::{Column, Listing};
use serde::Serialize;
use tables::{CheckedColumn, Format, Rejection, RowProblem, TableCheck};
use utoipa::ToSchema;

use super::make::unknown_make;
use super::query::TableQuery;
use super::workbook::{read_options, table_problem};
use crate::http::body::Admitted;
use crate::http::problem::Problem;
use crate::http::problem::openapi::WorkbookProblems;
use crate::http::upload::{WorkbookForm, receive_file};
use crate::serving::bulk::CancelOnDrop;
use crate::state::State;

/// What is known of a table before it is valued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkbookCheck {
    /// The name of the file.
    #[schema(example = "cars.xlsx")]
    file: String,
    /// `xlsx` or `csv`.
    #[schema(example = "xlsx")]
    format: &'static str,
    /// The sheet that is valued; null for CSV.
    #[schema(example = "Склад")]
    sheet: Option<String>,
    /// The number of the row with the headers.
    #[schema(example = 1)]
    header_row: u64,
    /// Every column with a header or with content.
    columns: Vec<ColumnCheck>,
    /// The required columns that the table lacks; without them no row can be valued.
    #[schema(value_type = Vec<String>, example = json!(["mileage"]))]
    missing: Vec<Column>,
    /// The number of rows that are not blank, without the headers.
    #[schema(example = 214)]
    rows: u64,
    /// How many of them can be valued.
    #[schema(example = 211)]
    valuable: u64,
    /// The first problems of rows, at most 100.
    problems: Vec<RowCheck>,
}

/// A column of the table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnCheck {
    /// Its number, starting at 1.
    #[schema(example = 4)]
    number: usize,
    /// Its header as written; empty if it has none.
    #[schema(example = "Пробег, тыс. км")]
    header: String,
    /// What it was understood as; null if it is not used.
    #[schema(value_type = Option<String>, example = "mileage")]
    column: Option<Column>,
    /// The unit in its header.
    #[schema(example = "тыс. км")]
    unit: Option<String>,
    /// Whether `mapping` says what it is.
    #[schema(example = false)]
    chosen: bool,
    /// What a column that is not used may be.
    #[schema(value_type = Option<String>, example = "price")]
    suggestion: Option<Column>,
    /// Some of its values.
    #[schema(example = json!(["83", "41,5"]))]
    examples: Vec<String>,
}

/// A problem of a row, which gets no price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowCheck {
    /// The number of the row.
    #[schema(example = 17)]
    row: u64,
    /// The column; null for the whole row.
    #[schema(example = "year")]
    column: Option<&'static str>,
    /// The value as written.
    #[schema(example = "1500")]
    value: String,
    /// An error code for programs, as in the errors of a listing.
    #[schema(example = "out_of_range")]
    r#type: &'static str,
    /// A description of the error for humans.
    #[schema(example = "year must be between 1900 and 2027 (got \"1500\")")]
    msg: String,
}

impl From<CheckedColumn> for ColumnCheck {
    fn from(checked: CheckedColumn) -> Self {
        let CheckedColumn { index, header, column, unit, is_chosen, suggestion, examples } = checked;
        Self { number: index + 1, header, column, unit, chosen: is_chosen, suggestion, examples }
    }
}

impl From<RowProblem> for RowCheck {
    fn from(problem: RowProblem) -> Self {
        let msg = problem.rejection.to_string();
        let Rejection { column, value, code, .. } = problem.rejection;
        Self { row: problem.row, column: (!column.is_empty()).then_some(column), value, r#type: code, msg }
    }
}

/// Checks a table of cars
///
/// Reads a workbook or CSV as if it were to be valued, and says what each column was understood as, which columns are not used,
/// and which rows cannot be valued and why. Correct what was misunderstood with `mapping`, which the valuation accepts too.
#[utoipa::path(
    post, path = "/v1/valuations/check", operation_id = "check_workbook", tag = "valuations", params(TableQuery),
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook or CSV"),
    responses((status = 200, description = "What was understood", body = WorkbookCheck), WorkbookProblems)
)]
pub(crate) async fn check_workbook(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Json<WorkbookCheck>, Problem> {
    let query = TableQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let caller = Admitted::of(&request)?.caller;
    state.engine().bulk.check_capacity(caller)?;
    let upload = receive_file(state.buffers(), request).await?;
    let slot = state.engine().bulk.enter(caller)?;
    let cancelled = CancelOnDrop::default();
    let flag = std::sync::Arc::clone(&cancelled.0);
    let today = state.today();
    let check = slot.run(upload.inflated_bytes, move || {
        let source = upload.source().cancelled_by(flag);
        let options = read_options(state.config(), &served, &source, &upload)?;
        let admit = |listing: &mut Listing| {
            served.names.resolve(listing, served.market());
            let make = if query.allow_unknown { None } else { served.model.unknown_make(listing) };
            make.map(|make| unknown_make(listing, make))
        };
        let check = tables::check_table(source, options, today, admit).map_err(|error| table_problem(&error))?;
        Ok(describe(upload.name.clone(), check))
    });
    Ok(Json(check.await?))
}

fn describe(file: String, check: TableCheck) -> WorkbookCheck {
    WorkbookCheck {
        file,
        format: if check.format == Format::Xlsx { "xlsx" } else { "csv" },
        sheet: check.sheet,
        header_row: check.header_row,
        columns: check.columns.into_iter().map(ColumnCheck::from).collect(),
        missing: check.missing,
        rows: check.rows,
        valuable: check.valuable,
        problems: check.problems.into_iter().map(RowCheck::from).collect(),
    }
}
