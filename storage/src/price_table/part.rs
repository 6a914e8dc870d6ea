//! A part of the cars of a table of prices: a range of them, which is valued in one transaction.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use futures_util::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::error::refused;
use super::name::{NUMBER, TableName, quoted};
use crate::database::Database;
use crate::error::Result;

/// The number of cars that are read and valued at a time.
const BATCH_ROWS: i64 = 8192;

/// The result for a car.
#[derive(Clone, Debug, PartialEq)]
pub struct CarPrice {
    /// The price and the lower and upper end of its interval; `None` if the car was not valued.
    pub prices: Option<[f64; 3]>,
    /// `ok`, or why it was not valued.
    pub status: String,
}

/// Some cars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarRange {
    /// The number of the first one.
    first: i64,
    /// The number of cars.
    pub rows: usize,
    /// The cars as CSV with a header, of which the first column is a number.
    pub csv: Vec<u8>,
}

/// A part that is being valued. Nothing of it is stored before [`PricePart::finish`].
#[derive(Debug)]
pub struct PricePart {
    connection: PgConnection,
    cars: String,
    prices: String,
    parts: String,
    part: i32,
    numbers: RangeInclusive<i64>,
    next: i64,
}

impl PricePart {
    pub(super) async fn begin(
        database: &Database,
        table: &TableName,
        part: usize,
        count: usize,
    ) -> Result<Option<Self>> {
        let mut connection = database.own_connection().await?;
        let [cars, prices, parts] = table.work();
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        // Another process that executes this part is waited for; if it succeeds, there is nothing left to do.
        let take = format!("INSERT INTO {parts} (part, rows, valued) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING");
        let number = i32::try_from(part).unwrap_or(i32::MAX);
        let taken = sqlx::query(AssertSqlSafe(take)).bind(number).execute(&mut connection).await;
        if taken.map_err(|error| refused(table, error))?.rows_affected() == 0 {
            return Ok(None);
        }
        let rows = format!("SELECT coalesce(max({NUMBER}), 0) FROM {cars}");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut connection).await?;
        let numbers = range(rows, part, count);
        let next = *numbers.start();
        Ok(Some(Self { connection, cars, prices, parts, part: number, numbers, next }))
    }

    /// Reads the next cars, of which only these columns; `None` after the last ones.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn read(&mut self, columns: &[String]) -> Result<Option<CarRange>> {
        let (first, end) = (self.next, *self.numbers.end());
        if first > end {
            return Ok(None);
        }
        let last = end.min(first + BATCH_ROWS - 1);
        self.next = last + 1;
        let columns: String = columns.iter().fold(String::new(), |list, column| list + ", " + &quoted(column));
        let statement = format!(
            "COPY (SELECT {NUMBER}{columns} FROM {} WHERE {NUMBER} BETWEEN {first} AND {last} ORDER BY {NUMBER}) \
             TO STDOUT (FORMAT csv, HEADER)",
            self.cars
        );
        let csv = copy_out(&mut self.connection, &statement).await?;
        Ok(Some(CarRange { first, rows: usize::try_from(last - first + 1).unwrap_or_default(), csv }))
    }

    /// Writes the prices of the cars of a range, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn write(&mut self, range: &CarRange, prices: &[CarPrice]) -> Result<()> {
        let mut text = String::new();
        for (number, price) in (range.first..).zip(prices) {
            encode(&mut text, number, price);
        }
        let mut copy = self.connection.copy_in_raw(&format!("COPY {} FROM STDIN", self.prices)).await?;
        copy.send(text.into_bytes()).await?;
        copy.finish().await?;
        Ok(())
    }

    /// Stores all prices of the part, which is done.
    ///
    /// # Errors
    /// The database is unavailable. Nothing is stored then.
    pub async fn finish(mut self) -> Result<()> {
        let Self { prices, parts, part, numbers, .. } = &self;
        let statement = format!(
            "UPDATE {parts} SET (rows, valued) = (SELECT count(*), count(predict_value) FROM {prices} \
             WHERE {NUMBER} BETWEEN $2 AND $3) WHERE part = $1"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(*part).bind(*numbers.start()).bind(*numbers.end());
        query.execute(&mut self.connection).await?;
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
        Ok(self.connection.close().await?)
    }
}

/// All bytes of a COPY.
async fn copy_out(connection: &mut PgConnection, statement: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunks = connection.copy_out_raw(statement).await?;
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// The numbers of the cars of a part.
fn range(rows: i64, part: usize, count: usize) -> RangeInclusive<i64> {
    let cut = |part: usize| {
        let share = i128::from(rows) * part as i128 / (count.max(1) as i128);
        i64::try_from(share).unwrap_or(rows)
    };
    cut(part) + 1..=cut(part + 1)
}

/// Encodes a row for COPY.
fn encode(text: &mut String, number: i64, CarPrice { prices, status }: &CarPrice) {
    let _ = match prices {
        Some([price, low, high]) => write!(text, "{number}\t{price}\t{low}\t{high}\t"),
        None => write!(text, "{number}\t\\N\t\\N\t\\N\t"),
    };
    for letter in status.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            letter => text.push(letter),
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_every_car_once() {
        for (rows, count) in [(0, 1), (1, 3), (10, 3), (10_000_000, 7)] {
            let numbers: Vec<_> = (0..count).map(|part| range(rows, part, count)).collect();
            assert_eq!((*numbers[0].start(), *numbers[count - 1].end()), (1, rows));
            assert!(numbers.windows(2).all(|pair| pair[0].end() + 1 == *pair[1].start()), "{numbers:?}");
        }
    }

    #[test]
    fn rows_are_encoded_for_copy() {
        let mut text = String::new();
        encode(&mut text, 7, &CarPrice { prices: Some([2.0, 1.5, 3.0]), status: "ok".to_owned() });
        encode(&mut text, 8, &CarPrice { prices: None, status: "a\tb\\\n".to_owned() });
        assert_eq!(text, "7\t2\t1.5\t3\tok\n8\t\\N\t\\N\t\\N\ta\\tb\\\\\\n\n");
    }
}
