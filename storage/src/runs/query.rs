//! Which runs to list, and in which order.

use sqlx::{Postgres, QueryBuilder};

use super::{Run, RunRow, RunStatus, Runs, SELECT};
use crate::error::Result;

/// Which runs to list, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only those of this task.
    pub task: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those with this status.
    pub status: Option<RunStatus>,
    /// Only the trials of this sweep.
    pub sweep: Option<String>,
    /// Only those whose number, name, notes, tags or task contain this text.
    pub search: Option<String>,
    /// The order.
    pub sort: RunSort,
    /// Whether the order is reversed. Runs without the metric are last either way.
    pub descending: bool,
    /// The maximum number of runs; all by default.
    pub limit: Option<u32>,
    /// The number of runs to skip.
    pub offset: u32,
}

/// What to sort runs by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunSort {
    /// The number, the newest first.
    #[default]
    Newest,
    /// The name.
    Name,
    /// The task.
    Task,
    /// The status.
    Status,
    /// The time of the start.
    Started,
    /// The number of listings to learn from.
    Rows,
    /// The number of the model version.
    Version,
    /// The mean absolute percentage error on the test split.
    Mape,
    /// The median absolute percentage error on the test split.
    MedianApe,
    /// The share of prices within the 80 % interval on the test split.
    Coverage,
    /// The lowest validation loss.
    ValidationLoss,
    /// The training loss of the best epoch.
    TrainLoss,
}

impl RunSort {
    /// All orders, by the name that users give.
    pub const ALL: [(&'static str, Self); 12] = [
        ("run", Self::Newest),
        ("name", Self::Name),
        ("task", Self::Task),
        ("status", Self::Status),
        ("started", Self::Started),
        ("rows", Self::Rows),
        ("version", Self::Version),
        ("mape", Self::Mape),
        ("median_ape", Self::MedianApe),
        ("coverage_80", Self::Coverage),
        ("validation_loss", Self::ValidationLoss),
        ("train_loss", Self::TrainLoss),
    ];

    /// The order of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, sort)| sort)
    }

    fn expression(self) -> &'static str {
        match self {
            Self::Newest => "-id",
            Self::Name => "label",
            Self::Task => "task",
            Self::Status => "status",
            Self::Started => "started_at",
            Self::Rows => "(rows->>'train')::bigint",
            Self::Version => "model_version",
            Self::Mape => "(metrics->>'mape')::double precision",
            Self::MedianApe => "(metrics->>'median_ape')::double precision",
            Self::Coverage => "(metrics->>'coverage_80')::double precision",
            Self::ValidationLoss => "(metrics->>'validation_loss')::double precision",
            Self::TrainLoss => "(metrics->>'train_loss')::double precision",
        }
    }
}

impl Runs {
    /// The runs that match.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn list(&self, query: &RunQuery) -> Result<Vec<Run>> {
        let mut statement = QueryBuilder::new(SELECT);
        filter(&mut statement, query);
        let direction = if query.descending { "DESC" } else { "ASC" };
        statement.push(format!(" ORDER BY {} {direction} NULLS LAST, id DESC", query.sort.expression()));
        statement.push(" LIMIT ").push_bind(query.limit.map(i64::from));
        statement.push(" OFFSET ").push_bind(i64::from(query.offset));
        let rows: Vec<RunRow> = statement.build_query_as().fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Run::from).collect())
    }

    /// The number of runs that match, whatever the limit.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn count(&self, query: &RunQuery) -> Result<u64> {
        let mut statement = QueryBuilder::new(format!("SELECT count(*) FROM ({SELECT}"));
        filter(&mut statement, query);
        statement.push(") AS matching");
        let count: i64 = statement.build_query_scalar().fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

fn filter(statement: &mut QueryBuilder<Postgres>, query: &RunQuery) {
    statement.push(" WHERE true");
    if let Some(task) = &query.task {
        statement.push(" AND task = ").push_bind(task.clone());
    }
    if let Some(tag) = &query.tag {
        statement.push(" AND tags @> ARRAY[").push_bind(tag.clone()).push("]");
    }
    if let Some(status) = query.status {
        statement.push(" AND status = ").push_bind(status.name());
    }
    if let Some(sweep) = &query.sweep {
        statement.push(" AND sweep = ").push_bind(sweep.clone());
    }
    if let Some(search) = &query.search {
        statement.push(" AND position(lower(").push_bind(search.clone());
        statement.push(") IN lower(concat_ws(' ', id, label, task, notes, array_to_string(tags, ' ')))) > 0");
    }
}
