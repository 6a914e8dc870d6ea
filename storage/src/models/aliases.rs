//! The champion and its history.

use chrono::{DateTime, Utc};
use domain::task::PRICE;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

use super::{Models, champion_of};
use crate::error::{Error, Result};
use crate::transaction::{TransactionLock, acquire_lock};

/// The kind of an alias change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To a chosen version.
    Promote,
    /// Back to the previous version.
    Rollback,
}

impl Action {
    /// The name in the database and in responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }
}

/// A change of the champion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ChampionChange)]
pub struct AliasChange {
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// `promote` to a chosen version, or `rollback` to the previous one.
    #[schema(value_type = String, example = "promote")]
    pub action: Action,
    /// The name of the task whose champion it was.
    #[schema(example = "price")]
    pub task: String,
    /// The new champion.
    #[schema(example = 3)]
    pub version: i64,
    /// The previous champion; null for the first promotion.
    #[schema(example = 2)]
    pub previous_version: Option<i64>,
    /// Who made the change: the user of the command line, or the admin token by the first digits of its hash.
    #[schema(example = "admin 4813494d over HTTP")]
    pub who: String,
    /// The alias.
    #[serde(skip)]
    pub alias: String,
}

/// A time during which a version was the champion of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedPeriod {
    /// The change that began it.
    pub change: AliasChange,
    /// When another version became the champion; `None` if it still is.
    pub until: Option<DateTime<Utc>>,
}

impl Models {
    /// Makes a version the champion of its task. Promoting the champion changes nothing.
    ///
    /// # Errors
    /// [`Error::NoModel`], or the database is unavailable.
    pub async fn promote(&self, version: i64, who: &str) -> Result<()> {
        let Some(model) = self.get(version).await? else { return Err(Error::NoModel(version)) };
        let alias = champion_of(&model.task);
        let mut transaction = self.pool.begin().await?;
        let served = champions(&lock_changes(&mut transaction, &alias).await?);
        if served.last() != Some(&version) {
            let change = (version, served.last().copied());
            move_alias(&mut transaction, &alias, change, who, Action::Promote).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Makes the previous champion of a task the champion again and returns its version. Repeated calls go further back.
    ///
    /// # Errors
    /// [`Error::NoEarlierChampion`], or the database is unavailable.
    pub async fn rollback(&self, task: &str, who: &str) -> Result<i64> {
        let alias = champion_of(task);
        let mut transaction = self.pool.begin().await?;
        let served = champions(&lock_changes(&mut transaction, &alias).await?);
        let [.., earlier, current] = served[..] else { return Err(Error::NoEarlierChampion) };
        move_alias(&mut transaction, &alias, (earlier, Some(current)), who, Action::Rollback).await?;
        transaction.commit().await?;
        Ok(earlier)
    }

    /// All changes of aliases, the newest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn history(&self) -> Result<Vec<AliasChange>> {
        let rows: Vec<ChangeRow> = sqlx::query_as(
            "SELECT alias, version, previous_version, at, who, action FROM alias_history ORDER BY id DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(AliasChange::from).collect())
    }

    /// When which version of a task was its champion, the newest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn served(&self, task: &str) -> Result<Vec<ServedPeriod>> {
        let alias = champion_of(task);
        let changes = self.history().await?.into_iter().filter(|change| change.alias == alias);
        let mut until = None;
        let period = |change: AliasChange| ServedPeriod { until: until.replace(change.at), change };
        Ok(changes.map(period).collect())
    }

    /// Which version of a task was its champion at a time, if any.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn served_at(&self, task: &str, at: DateTime<Utc>) -> Result<Option<ServedPeriod>> {
        Ok(self.served(task).await?.into_iter().find(|period| period.change.at <= at))
    }
}

/// Locks the aliases for the transaction, and returns the changes of one, the oldest first.
async fn lock_changes(connection: &mut PgConnection, alias: &str) -> Result<Vec<(Action, i64)>> {
    acquire_lock(connection, TransactionLock::Alias).await?;
    let query = sqlx::query_as("SELECT action, version FROM alias_history WHERE alias = $1 ORDER BY id").bind(alias);
    let rows: Vec<(String, i64)> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(action, version)| (read_action(&action), version)).collect())
}

/// The stack of champions, the current one last: a promotion pushes a version, a rollback pops it.
fn champions(changes: &[(Action, i64)]) -> Vec<i64> {
    let mut served = Vec::new();
    for (action, version) in changes {
        match action {
            Action::Promote => served.push(*version),
            Action::Rollback => {
                served.pop();
            }
        }
    }
    served
}

async fn move_alias(
    connection: &mut PgConnection,
    alias: &str,
    (version, previous_version): (i64, Option<i64>),
    who: &str,
    action: Action,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO model_aliases (alias, version) VALUES ($1, $2)
         ON CONFLICT (alias) DO UPDATE SET version = EXCLUDED.version",
    )
    .bind(alias)
    .bind(version)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO alias_history (alias, version, previous_version, at, who, action)
         VALUES ($1, $2, $3, clock_timestamp(), $4, $5)",
    )
    .bind(alias)
    .bind(version)
    .bind(previous_version)
    .bind(who)
    .bind(action.name())
    .execute(connection)
    .await?;
    Ok(())
}

/// The table's check constraint allows no other action.
fn read_action(action: &str) -> Action {
    if action == "rollback" { Action::Rollback } else { Action::Promote }
}

#[derive(FromRow)]
struct ChangeRow {
    alias: String,
    version: i64,
    previous_version: Option<i64>,
    at: DateTime<Utc>,
    who: String,
    action: String,
}

impl From<ChangeRow> for AliasChange {
    fn from(row: ChangeRow) -> Self {
        Self {
            task: row.alias.split_once('/').map_or(PRICE, |(task, _)| task).to_owned(),
            alias: row.alias,
            version: row.version,
            previous_version: row.previous_version,
            at: row.at,
            who: row.who,
            action: read_action(&row.action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Promote, Rollback};
    use super::*;

    #[test]
    fn rollbacks_pop_and_promotions_push() {
        let mut changes = vec![(Promote, 1), (Promote, 2), (Promote, 3), (Rollback, 2)];
        assert_eq!(champions(&changes), [1, 2]);
        changes.extend([(Promote, 4), (Rollback, 2), (Rollback, 1)]);
        assert_eq!(champions(&changes), [1]);
    }
}
