//! The tasks.

use std::collections::BTreeMap;

use domain::{Column, Market, Task};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::error::{Error, Result};
use crate::markets::Markets;

/// The tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    pool: PgPool,
}

impl Tasks {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// All tasks by name, `price` first.
    ///
    /// # Errors
    /// The database is unavailable, or a task or market cannot be read.
    pub async fn list(&self) -> Result<Vec<Task>> {
        let markets = Markets::new(self.pool.clone()).list().await?;
        let markets: BTreeMap<&str, &Market> = markets.iter().map(|market| (market.name(), market)).collect();
        let query = "SELECT name, market, target, conditions FROM tasks ORDER BY name <> 'price', name";
        let rows: Vec<TaskRow> = sqlx::query_as(query).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                let market = markets.get(row.market.as_str()).ok_or(Error::NoMarket(row.market))?;
                let target = Column::from_name(&row.target).unwrap_or(Column::Price);
                Task::new(&row.name, (*market).clone(), target, row.conditions)
                    .map_err(|cause| Error::Task { name: row.name, cause })
            })
            .collect()
    }

    /// The task of this name.
    ///
    /// # Errors
    /// [`Error::NoTask`] with the names of all tasks; else see [`Tasks::list`].
    pub async fn get(&self, name: &str) -> Result<Task> {
        let tasks = self.list().await?;
        match tasks.iter().find(|task| task.name == name) {
            Some(task) => Ok(task.clone()),
            None => Err(Error::NoTask {
                name: name.to_owned(),
                known: tasks.into_iter().map(|task| task.name).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Adds a task; false if there is one of the same name, which stays as it is.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn add(&self, task: &Task) -> Result<bool> {
        add(&mut *self.pool.acquire().await?, task).await
    }
}

/// Adds a task unless there is one of its name.
pub(crate) async fn add(connection: &mut PgConnection, task: &Task) -> Result<bool> {
    let query = sqlx::query(
        "INSERT INTO tasks (name, market, target, conditions) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
    );
    let query = query.bind(&task.name).bind(task.market.name()).bind(task.target.name()).bind(&task.conditions);
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

#[derive(FromRow)]
struct TaskRow {
    name: String,
    market: String,
    target: String,
    conditions: Vec<String>,
}
