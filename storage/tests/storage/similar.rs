use chrono::NaiveDate;
use domain::identity::canonical_listing;
use domain::{Cell, Column, Listing, Market, PricedListing, Targets};
use storage::{Database, Import, SimilarListings};

use crate::sandbox::database;

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 17).unwrap()
}

/// A Kia Rio, changed by these cells, at a price.
fn rio(changes: &[(Column, Cell<'static>)], price: f64) -> PricedListing {
    let mut cells = vec![
        (Column::Brand, Cell::Text("Kia")),
        (Column::Model, Cell::Text("Rio")),
        (Column::VehicleGeneration, Cell::Text("IV")),
        (Column::Year, Cell::Number(2018.0)),
        (Column::Mileage, Cell::Number(83_000.0)),
        (Column::FuelType, Cell::Text("Бензин")),
        (Column::EngineVolume, Cell::Text("1,6")),
        (Column::Transmission, Cell::Text("АКПП")),
        (Column::ListingDate, Cell::Date(day())),
    ];
    cells.retain(|(column, _)| !changes.iter().any(|(changed, _)| changed == column));
    cells.extend_from_slice(changes);
    let listing = Listing::from_cells(cells, Market::russia(), day()).unwrap();
    PricedListing { listing, targets: Targets::price(price), car_group: None, source: None }
}

async fn import(database: &Database, rows: &[PricedListing]) {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(0).await.unwrap();
}

async fn search(database: &Database, car: &PricedListing, count: u32) -> SimilarListings {
    database
        .listings()
        .similar(&canonical_listing(&car.listing, Market::russia()), day(), Column::Price, count, 5000)
        .await
        .unwrap()
}

fn prices(similar: &SimilarListings) -> Vec<f64> {
    similar.comparables.iter().map(|comparable| comparable.price).collect()
}

#[tokio::test]
async fn the_same_generation_and_gearbox_come_first_then_the_nearest() {
    let (database, _pool) = database().await;
    let mileage = |mileage| (Column::Mileage, Cell::Number(mileage));
    let manual = (Column::Transmission, Cell::Text("механика"));
    let rows = [
        rio(&[mileage(84_000.0), manual.clone()], 1.0),
        rio(&[mileage(200_000.0)], 2.0),
        rio(&[mileage(90_000.0)], 3.0),
        rio(&[mileage(84_001.0), (Column::VehicleGeneration, Cell::Text("III"))], 4.0),
        rio(&[mileage(90_000.0), (Column::EngineVolume, Cell::Text("1,4"))], 5.0),
        rio(&[mileage(84_000.0), (Column::Model, Cell::Text("Ceed"))], 6.0),
        rio(&[mileage(84_002.0), (Column::VehicleGeneration, Cell::Empty)], 7.0),
    ];
    import(&database, &rows).await;
    let similar = search(&database, &rio(&[], 0.0), 10).await;
    let found = prices(&similar);
    assert_eq!(found[..3], [3.0, 5.0, 2.0], "same generation and gearbox");
    assert_eq!(found[3..4], [7.0], "an unstated generation is nearer than another one");
    assert_eq!(found.len(), 6, "never another model");
    assert_eq!(similar.count, 6);
    assert_eq!(similar.sample.len(), 6);
    assert_eq!(similar.comparables[0].listing, canonical_listing(&rows[2].listing, Market::russia()));
    assert_eq!(prices(&search(&database, &rio(&[], 0.0), 2).await), [3.0, 5.0]);
}

#[tokio::test]
async fn listings_near_the_day_precede_others() {
    let (database, _pool) = database().await;
    let on = |year, mileage| {
        let date = Cell::Date(NaiveDate::from_ymd_opt(year, 3, 17).unwrap());
        rio(&[(Column::ListingDate, date), (Column::Mileage, Cell::Number(mileage))], f64::from(year))
    };
    import(&database, &[on(2020, 83_001.0), on(2025, 83_002.0), on(2023, 83_003.0)]).await;
    assert_eq!(prices(&search(&database, &rio(&[], 0.0), 3).await), [2025.0, 2023.0, 2020.0]);
    let car = canonical_listing(&rio(&[], 0.0).listing, Market::russia());
    let then = NaiveDate::from_ymd_opt(2020, 5, 1).unwrap();
    let similar = database.listings().similar(&car, then, Column::Price, 1, 5000).await.unwrap();
    assert_eq!(prices(&similar), [2020.0]);
}

#[tokio::test]
async fn a_car_is_found_once_and_never_itself() {
    let (database, _pool) = database().await;
    let region = |region| (Column::Region, Cell::Text(region));
    let mileage = |mileage| (Column::Mileage, Cell::Number(mileage));
    let grouped = |row: PricedListing, group: &str| PricedListing { car_group: Some(group.to_owned()), ..row };
    let rows = [
        // The car itself, with and without a group, also under another mileage.
        rio(&[region("Тверь")], 1.0),
        grouped(rio(&[region("Москва")], 2.0), "own"),
        grouped(rio(&[region("Москва"), mileage(84_000.0)], 3.0), "own"),
        rio(&[(Column::FuelType, Cell::Empty)], 4.0),
        // Another car, twice.
        grouped(rio(&[mileage(90_000.0)], 5.0), "other"),
        grouped(rio(&[mileage(90_500.0)], 6.0), "other"),
        // The same car in another source, and described differently.
        PricedListing { source: Some("drom".to_owned()), ..grouped(rio(&[mileage(91_000.0)], 5.1), "other") },
        rio(&[mileage(90_000.0), (Column::Color, Cell::Text("белый")), (Column::FuelType, Cell::Empty)], 5.2),
        // A car with the same mileage, but another engine.
        rio(&[(Column::EngineVolume, Cell::Text("1,4"))], 7.0),
    ];
    import(&database, &rows).await;
    assert_eq!(prices(&search(&database, &rio(&[], 0.0), 20).await), [5.0, 7.0]);
    // Of new cars, many have the same mileage.
    let new = [rio(&[mileage(0.0)], 8.0), rio(&[mileage(0.0), (Column::Color, Cell::Text("белый"))], 9.0)];
    import(&database, &new).await;
    assert_eq!(prices(&search(&database, &new[0], 1).await), [9.0]);
}

#[tokio::test]
async fn a_slow_search_is_an_error() {
    let (database, pool) = database().await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK listings").execute(&mut *lock).await.unwrap();
    let car = canonical_listing(&rio(&[], 0.0).listing, Market::russia());
    let error = database.listings().similar(&car, day(), Column::Price, 3, 50).await.unwrap_err();
    assert!(error.to_string().contains("statement timeout"), "{error}");
}

#[tokio::test]
async fn the_index_finds_the_listings() {
    let (database, pool) = database().await;
    import(&database, &[rio(&[], 1.0)]).await;
    let plan = "SET enable_seqscan = off; EXPLAIN SELECT FROM listings
                WHERE brand = 'kia' AND model = 'rio' AND year = 2018 AND transmission = 'автоматическая'";
    let rows = sqlx::raw_sql(plan).fetch_all(&pool).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    assert!(plan.concat().contains("listings_by_similarity"), "{plan:?}");
}
