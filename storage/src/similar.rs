//! Listings of similar cars.

use chrono::NaiveDate;
use domain::identity::{may_be_same_car, single_precision};
use domain::{Column, Kind, Listing, Value};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use crate::copy::WIDTH;
use crate::error::Result;
use crate::listings::Listings;

/// A stored listing, in canonical form.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarListing {
    /// The car.
    pub listing: Listing,
    /// Its asking price, or another target.
    pub price: f64,
}

/// What the listings know about cars like a given one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimilarListings {
    /// The number of listings of the same make and model, if stated, and of the same year give or take one.
    pub count: u64,
    /// Some of them: of the nearest years, and listed the nearest to the day.
    pub sample: Vec<Listing>,
    /// The most similar cars, the most similar first: one listing per car, and never the car itself.
    pub comparables: Vec<SimilarListing>,
}

/// The maximum number of listings in a sample.
const SAMPLE_ROWS: i64 = 300;
/// With fewer listings of the same years, a sample is taken from more years.
const MIN_SAMPLE_ROWS: usize = 10;
/// The number of ranked listings per comparable, since the same car may be listed several times.
const LISTINGS_PER_CAR: usize = 8;
/// The number of ranked listings besides these: those of the car itself, and of a single car that is listed many times.
const MORE_LISTINGS: usize = 20;
/// What listings of the same car have in common, in SQL: its group, whatever its source.
const CAR: &str = "coalesce(car_group, listing_group)::text";
/// The distance of listings that are not of the same generation and gearbox: greater than any other difference.
const OTHER_VARIANT: f64 = 1000.0;
/// The weight of a field that a listing does not state, relative to one that differs.
const UNSTATED: f64 = 0.3;

/// The distance of a different text, where one year or 15,000 km count 1.
const TEXT_DISTANCES: [(Column, f64); 8] = [
    (Column::VehicleGeneration, 4.0),
    (Column::Transmission, 4.0),
    (Column::FuelType, 3.0),
    (Column::BodyType, 2.0),
    (Column::Drive, 2.0),
    (Column::Wheel, 2.0),
    (Column::State, 2.0),
    (Column::Customs, 2.0),
];

/// The distance per unit of difference of a number, up to 3.
const NUMBER_DISTANCES: [(Column, f64); 2] = [(Column::EngineVolume, 5.0), (Column::EnginePower, 0.05)];

impl Listings {
    /// Finds listings of cars like a car in canonical form, as of a day, with at most `comparables` of the most similar cars:
    /// those of the same generation and gearbox first, then by year, engine, body, drive, mileage and date. Only listings with a
    /// target count. Each statement is
    /// limited to `timeout_ms` milliseconds.
    ///
    /// # Errors
    /// The database is unavailable or slow.
    pub async fn similar(
        &self,
        car: &Listing,
        day: NaiveDate,
        target: Column,
        comparables: u32,
        timeout_ms: u32,
    ) -> Result<SimilarListings> {
        let mut transaction = self.pool().begin().await?;
        let settings = format!("SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {timeout_ms}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut *transaction).await?;
        let search = Search { car, day, target };
        let (count, mut sample) = search.sample(&mut transaction, 1).await?;
        if sample.len() < MIN_SAMPLE_ROWS {
            sample = search.sample(&mut transaction, 4).await?.1;
        }
        let comparables = search.comparables(&mut transaction, comparables as usize).await?;
        transaction.commit().await?;
        Ok(SimilarListings { count: count.unsigned_abs(), sample, comparables })
    }
}

/// A search for listings like a car.
struct Search<'c> {
    car: &'c Listing,
    day: NaiveDate,
    /// What its listings must have, and what counts as their price.
    target: Column,
}

/// A listing that may be a comparable.
struct Candidate {
    similar: SimilarListing,
    /// See [`CAR`].
    car: String,
}

impl Candidate {
    fn may_be_same_car(&self, other: &Self) -> bool {
        self.car == other.car || may_be_same_car(&self.similar.listing, &other.similar.listing)
    }
}

/// Which listings are candidates.
#[derive(Clone, Copy, PartialEq)]
enum Candidates {
    /// Of the same generation and gearbox, if stated.
    SameVariant,
    /// All of the same model.
    SameModel,
}

impl Search<'_> {
    /// The listings whose year differs by at most `years`: their number, and the nearest ones.
    async fn sample(&self, connection: &mut PgConnection, years: i32) -> Result<(i64, Vec<Listing>)> {
        let mut query = QueryBuilder::new(format!("SELECT {}, count(*) OVER () FROM listings WHERE", self.columns()));
        self.push_model(&mut query);
        self.push_years(&mut query, years);
        query.push(" ORDER BY abs(year - ").push_bind(self.year()).push("), abs(listing_date - ").push_bind(self.day);
        query.push(") LIMIT ").push_bind(SAMPLE_ROWS);
        let rows = query.build().fetch_all(connection).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get(WIDTH))?;
        let listings = rows.iter().map(read_listing).collect::<sqlx::Result<_>>()?;
        Ok((count, listings))
    }

    async fn comparables(&self, connection: &mut PgConnection, count: usize) -> Result<Vec<SimilarListing>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let own = self.own_listings(connection).await?;
        let nearest = self.nearest(connection, Candidates::SameVariant, &own, count).await?;
        // The index makes this the cheap case, and nearly always sufficient for models with many listings.
        if nearest.len() == count {
            return Ok(nearest);
        }
        self.nearest(connection, Candidates::SameModel, &own, count).await
    }

    /// The listings that may be of the car itself.
    async fn own_listings(&self, connection: &mut PgConnection) -> Result<Vec<Candidate>> {
        let mut query = QueryBuilder::new(format!("SELECT {}, {CAR} FROM listings WHERE", self.columns()));
        self.push_model(&mut query);
        query.push(" AND year = ").push_bind(self.year());
        query.push(" AND mileage = ").push_bind(self.number(Column::Mileage));
        let mut own = read_candidates(&query.build().fetch_all(connection).await?)?;
        own.retain(|candidate| may_be_same_car(&candidate.similar.listing, self.car));
        Ok(own)
    }

    /// At most `count` of the nearest listings, one for each car, without the car itself.
    async fn nearest(
        &self,
        connection: &mut PgConnection,
        candidates: Candidates,
        own: &[Candidate],
        count: usize,
    ) -> Result<Vec<SimilarListing>> {
        let mut query = QueryBuilder::new(format!("SELECT {}, {CAR}, ", self.columns()));
        self.push_distance(&mut query, candidates);
        query.push(" AS distance FROM listings WHERE");
        self.push_model(&mut query);
        if candidates == Candidates::SameVariant {
            self.push_variant(&mut query);
        }
        query.push(format!(" ORDER BY distance, id LIMIT {}", LISTINGS_PER_CAR * count + MORE_LISTINGS));
        let mut nearest: Vec<Candidate> = Vec::with_capacity(count);
        for candidate in read_candidates(&query.build().fetch_all(connection).await?)? {
            if nearest.len() < count && !own.iter().chain(&nearest).any(|known| known.may_be_same_car(&candidate)) {
                nearest.push(candidate);
            }
        }
        Ok(nearest.into_iter().map(|candidate| candidate.similar).collect())
    }

    /// The selected columns: those of a listing, and the target as its price.
    fn columns(&self) -> String {
        let descriptive: Vec<&str> = Column::descriptive().iter().map(|column| column.name()).collect();
        format!("{}, {}::float8 AS price", descriptive.join(", "), self.target.name())
    }

    fn push_model(&self, query: &mut QueryBuilder<Postgres>) {
        if self.target != Column::Price {
            query.push(format!(" {} IS NOT NULL AND", self.target.name()));
        }
        query.push(" brand = ").push_bind(self.text(Column::Brand));
        if let Some(model) = self.car.text(Column::Model) {
            query.push(" AND model = ").push_bind(model.to_owned());
        }
    }

    fn push_years(&self, query: &mut QueryBuilder<Postgres>, years: i32) {
        query.push(" AND year BETWEEN ").push_bind(self.year() - years);
        query.push(" AND ").push_bind(self.year() + years);
    }

    /// The same generation and gearbox as far as the car states them; a car without a generation has its years instead.
    fn push_variant(&self, query: &mut QueryBuilder<Postgres>) {
        for column in [Column::VehicleGeneration, Column::Transmission] {
            if let Some(text) = self.car.text(column) {
                query.push(format!(" AND {} = ", column.name())).push_bind(text.to_owned());
            }
        }
        if self.car.get(Column::VehicleGeneration).is_none() {
            self.push_years(query, 2);
        }
    }

    fn push_distance(&self, query: &mut QueryBuilder<Postgres>, candidates: Candidates) {
        query.push("abs(year - ").push_bind(self.year());
        query.push(") + abs(mileage - ").push_bind(self.number(Column::Mileage));
        // The level of prices changes faster than a car ages.
        query.push(") / 15000.0 + coalesce(abs(listing_date - ").push_bind(self.day).push(") / 180.0::float8, 6.0)");
        for (column, distance) in TEXT_DISTANCES {
            let Some(text) = self.car.text(column) else { continue };
            let name = column.name();
            query.push(format!(" + CASE WHEN {name} = ")).push_bind(text.to_owned());
            let unstated = UNSTATED * distance;
            query.push(format!(
                " THEN 0::float8 WHEN {name} IS NULL THEN {unstated}::float8 ELSE {distance}::float8 END"
            ));
        }
        for (column, weight) in NUMBER_DISTANCES {
            if self.car.get(column).is_some() {
                query.push(format!(" + coalesce(least({weight} * abs({} - ", column.name()));
                query.push_bind(self.number(column)).push("), 3.0), 1.0)");
            }
        }
        let variant = [Column::VehicleGeneration, Column::Transmission];
        if candidates == Candidates::SameModel && variant.iter().any(|column| self.car.get(*column).is_some()) {
            query.push(" + CASE WHEN TRUE");
            for column in variant {
                if let Some(text) = self.car.text(column) {
                    query.push(format!(" AND {} = ", column.name())).push_bind(text.to_owned());
                }
            }
            query.push(format!(" THEN 0::float8 ELSE {OTHER_VARIANT}::float8 END"));
        }
    }

    fn text(&self, column: Column) -> String {
        self.car.text(column).unwrap_or_default().to_owned()
    }

    fn number(&self, column: Column) -> f64 {
        self.car.number(column).unwrap_or_default()
    }

    fn year(&self) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds of its column")]
        let year = self.number(Column::Year) as i32;
        year
    }
}

/// Reads rows that start with [`Search::columns`] and [`CAR`].
fn read_candidates(rows: &[PgRow]) -> sqlx::Result<Vec<Candidate>> {
    let candidate = |row| {
        let similar = SimilarListing { listing: read_listing(row)?, price: row.try_get(Column::Price as usize)? };
        Ok(Candidate { similar, car: row.try_get(WIDTH)? })
    };
    rows.iter().map(candidate).collect()
}

/// Reads a row that starts with the columns of a listing.
pub(crate) fn read_listing(row: &PgRow) -> sqlx::Result<Listing> {
    let mut listing = Listing::default();
    for column in Column::descriptive() {
        let index = *column as usize;
        let value = match (column, column.kind()) {
            (_, Kind::Text) => row.try_get::<Option<String>, _>(index)?.map(Value::Text),
            (_, Kind::Date) => row.try_get::<Option<NaiveDate>, _>(index)?.map(Value::Date),
            (_, Kind::Decimal { .. }) => {
                let number = row.try_get::<Option<f32>, _>(index)?;
                number.map(|number| Value::Number(single_precision(f64::from(number))))
            }
            (Column::Mileage, Kind::Integer { .. }) => {
                row.try_get::<Option<i32>, _>(index)?.map(|number| Value::Number(f64::from(number)))
            }
            (_, Kind::Integer { .. }) => {
                row.try_get::<Option<i16>, _>(index)?.map(|number| Value::Number(f64::from(number)))
            }
        };
        listing.set(*column, value);
    }
    Ok(listing)
}
