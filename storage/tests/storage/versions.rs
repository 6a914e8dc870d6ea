use chrono::NaiveDate;
use domain::{Cell, Column, Listing, Market, PricedListing, Targets};
use storage::{Database, Import, ListedVersion};

use crate::sandbox::database;

/// A Kia Rio of a year with this power and mileage, and a gearbox if it states one.
fn rio(year: u32, power: f64, gearbox: &'static str, mileage: u32) -> PricedListing {
    let cells = vec![
        (Column::Brand, Cell::Text("Kia")),
        (Column::Model, Cell::Text("Rio")),
        (Column::VehicleGeneration, Cell::Text("IV")),
        (Column::Year, Cell::Number(f64::from(year))),
        (Column::Mileage, Cell::Number(f64::from(mileage))),
        (Column::EngineVolume, Cell::Number(1.6)),
        (Column::EnginePower, Cell::Number(power)),
        (Column::Transmission, Cell::Text(gearbox)),
    ];
    let today = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
    let listing = Listing::from_cells(cells, Market::russia(), today).unwrap();
    PricedListing { listing, targets: Targets::price(1e6), car_group: None, source: None }
}

async fn import(database: &Database, rows: &[PricedListing]) {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(0).await.unwrap();
}

async fn versions(database: &Database, year: Option<i32>) -> Vec<(f64, u64, (i16, i16))> {
    let found: Vec<ListedVersion> = database.listings().versions("kia", "rio", year, 5000).await.unwrap();
    assert!(found.iter().all(|version| version.vehicle_generation.as_deref() == Some("iv") && version.drive.is_none()));
    found.iter().map(|version| (version.engine_power.unwrap(), version.listings, version.years)).collect()
}

#[tokio::test]
async fn versions_are_those_of_the_year_if_there_are_enough_listings() {
    let (database, _pool) = database().await;
    let mut rows: Vec<_> = (0..30).map(|car| rio(2018, 123.0, "АКПП", 1000 + car)).collect();
    rows.extend((0..5).map(|car| rio(2018, 100.0, "МКПП", 2000 + car)));
    rows.extend((0..40).map(|car| rio(2020, 106.0, "МКПП", 3000 + car)));
    import(&database, &rows).await;
    let of_2018 = [(123.0, 30, (2018, 2018)), (100.0, 5, (2018, 2018))];
    assert_eq!(versions(&database, Some(2018)).await, of_2018);
    assert_eq!(versions(&database, Some(2017)).await, of_2018, "of the years around");
    assert_eq!(versions(&database, None).await[0], (106.0, 40, (2020, 2020)));
    assert_eq!(versions(&database, Some(1995)).await, []);
    assert_eq!(database.listings().versions("kia", "ceed", None, 5000).await.unwrap(), []);
}
