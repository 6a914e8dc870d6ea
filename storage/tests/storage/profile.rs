//! Figures of the data report, on a few rows.

use domain::market::Distance;
use domain::{Cell, Column, Listing, Market, PricedListing, Targets};
use storage::profile::{Check, NamedPrices, Period, Sample, Scope};
use storage::{Database, Import, Snapshot};

use crate::sandbox::{database, day};

/// A Kia with this model, year, mileage, price, day in March and source.
fn car(model: &str, year: f64, mileage: f64, price: f64, listed: Option<u32>, source: Option<&str>) -> PricedListing {
    let mut cells = vec![
        (Column::Brand, Cell::Text("Kia")),
        (Column::Model, Cell::Text(model)),
        (Column::Year, Cell::Number(year)),
        (Column::Mileage, Cell::Number(mileage)),
    ];
    cells.extend(listed.map(|listed| (Column::ListingDate, Cell::Date(day(listed)))));
    let listing = Listing::from_cells(cells, Market::russia(), day(31)).unwrap();
    PricedListing { listing, targets: Targets::price(price), car_group: None, source: source.map(str::to_owned) }
}

async fn snapshot(database: &Database, rows: &[PricedListing]) -> Snapshot {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(2).await.unwrap();
    Snapshot::begin(database).await.unwrap()
}

fn five_cars() -> Vec<PricedListing> {
    vec![
        car("Rio", 2018.0, 50_500.0, 900_000.0, Some(1), Some("a")),
        car("Rio", 2018.0, 50_500.0, 600_000.0, Some(11), Some("b")),
        car("Rio", 2018.0, 50_500.0, 600_000.0, Some(11), Some("b")),
        car("Rio", 2010.0, 1_000_000.0, 100_000.0, Some(2), Some("a")),
        car("Soul", 2027.0, 10.0, 2_000_000.0, None, None),
    ]
}

#[tokio::test]
async fn rows_sources_and_months_are_counted() {
    let (database, _) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    let overview = snapshot.overview().await.unwrap();
    assert_eq!((overview.rows, overview.cars, overview.dated, overview.months), (4, 3, 3, 1));
    assert_eq!((overview.sources, overview.without_source), (2, 1));
    assert_eq!((overview.first_day, overview.last_day), (Some(day(1)), Some(day(11))));
    let sources = snapshot.sources(2).await.unwrap();
    assert_eq!((sources[0].source.as_deref(), sources[0].rows), (Some("a"), 2));
    assert!((sources[0].median_price - 500_000.0).abs() < 1e-6);
    assert_eq!(sources.len(), 2);
    let months = snapshot.months().await.unwrap();
    assert_eq!((months.len(), months[0].rows, months[0].sources), (1, 3, 2));
    assert!((months[0].largest_source - 2.0 / 3.0).abs() < 1e-9);
}

#[tokio::test]
async fn missing_values_are_counted_by_source() {
    let (database, _) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    let all = snapshot.sources(10).await.unwrap();
    let absences = snapshot.absences(&all).await.unwrap();
    assert_eq!(absences.iter().map(|absence| absence.rows).sum::<i64>(), 4);
    for absence in &absences {
        let is_nameless = all[absence.source].source.is_none();
        assert_eq!(absence.missing.contains(Column::ListingDate), is_nameless, "{absence:?}");
        assert!(absence.missing.contains(Column::Color));
        assert!(!absence.missing.contains(Column::Model));
    }
    let largest = &all[..1];
    let others = snapshot.absences(largest).await.unwrap();
    assert_eq!(others.iter().filter(|absence| absence.source == 1).map(|absence| absence.rows).sum::<i64>(), 2);
}

#[tokio::test]
async fn columns_are_profiled_even_if_entirely_missing() {
    let (database, _) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    let models = snapshot.text_profile(&[Column::Brand, Column::Model], 1).await.unwrap();
    assert_eq!((models.known, models.distinct, models.top.len()), (4, 2, 1));
    assert_eq!((models.top[0].value.as_str(), models.top[0].rows), ("kia rio", 3));
    assert_eq!((models.values_for_50, models.values_for_99, models.rare_rows), (1, 2, 4));
    let colors = snapshot.text_profile(&[Column::Color], 5).await.unwrap();
    assert_eq!((colors.known, colors.distinct, colors.values_for_50, colors.top.len()), (0, 0, 0, 0));

    let prices = snapshot.number_profile(Column::Price, true, 5).await.unwrap();
    assert_eq!((prices.known, prices.distinct), (4, 4));
    assert_eq!(prices.quantiles.len(), 9);
    assert!((prices.quantiles[4] - 750_000.0).abs() < 1e-6);
    let powers = snapshot.number_profile(Column::EnginePower, true, 5).await.unwrap();
    assert_eq!((powers.known, powers.below, powers.above), (0, 0, 0));
    assert!(powers.quantiles.is_empty() && powers.frequent.is_empty());
}

#[tokio::test]
async fn outliers_are_counted_and_listed() {
    let (database, _) = database().await;
    let mut rows: Vec<_> =
        (0..40).map(|number| car("Rio", 2018.0, 50_000.0 + f64::from(number), 1e6, Some(1), None)).collect();
    rows.push(car("Rio", 2018.0, 2_000_000.0, 1e12, Some(1), None));
    let mut snapshot = snapshot(&database, &rows).await;
    let mileages = snapshot.number_profile(Column::Mileage, false, 5).await.unwrap();
    assert_eq!((mileages.below, mileages.above, mileages.highest[0].rows), (0, 1, 1));
    assert!((mileages.highest[0].number - 2_000_000.0).abs() < 1e-6);
    let prices = snapshot.number_profile(Column::Price, true, 5).await.unwrap();
    assert!((prices.highest[0].number - 1e12).abs() < 1.0);
    assert_eq!(prices.frequent[0].rows, 40);
}

#[tokio::test]
async fn duplicates_and_contradictions_are_found() {
    let (database, pool) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    let repeats = snapshot.repeats().await.unwrap();
    assert_eq!((repeats.exact, repeats.rejected, repeats.cars, repeats.rows), (1, 2, 1, 2));
    assert_eq!((repeats.repriced_cars, repeats.repriced_rows, repeats.across_sources, repeats.most), (1, 2, 1, 2));
    assert_eq!(repeats.by_listings, [1, 0, 0, 0, 0]);
    assert!((repeats.median_price_ratio.unwrap() - 1.5).abs() < 1e-9);
    assert!((repeats.median_days.unwrap() - 10.0).abs() < 1e-9);
    assert_eq!((repeats.same_description, repeats.same_description_other_split), (0, 0));
    let suspicions = snapshot.suspicions(Distance::Km).await.unwrap();
    let rows = |check| suspicions.iter().find(|suspicion| suspicion.check == check).unwrap().rows;
    assert_eq!(rows(Check::VeryHighMileage), 1);
    assert_eq!(rows(Check::RoundMileage), 1);
    assert_eq!(rows(Check::MadeAfterListing), 0);
    assert_eq!(rows(Check::HardlyDriven), 0);

    // Cars of different groups with the same description, one of them in another split.
    sqlx::query("UPDATE listings SET listing_group = gen_random_uuid(), bucket = 95 WHERE price = 600000")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE listings SET bucket = 5 WHERE price = 900000").execute(&pool).await.unwrap();
    let repeats = Snapshot::begin(&database).await.unwrap().repeats().await.unwrap();
    assert_eq!((repeats.same_description, repeats.same_description_other_split), (2, 2));
}

#[tokio::test]
async fn only_cells_in_several_periods_are_compared() {
    let (database, pool) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    assert!(snapshot.cell_levels(&Scope::default(), Period::Month).await.unwrap().is_empty());
    sqlx::query("UPDATE listings SET listing_date = '2026-07-05' WHERE price = 600000").execute(&pool).await.unwrap();
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    for period in [Period::Month, Period::Quarter] {
        let levels = snapshot.cell_levels(&Scope::default(), period).await.unwrap();
        assert_eq!(levels.len(), 2);
        assert_eq!(levels[0].cell, levels[1].cell);
        assert!((levels[0].level - levels[1].level - 1.5_f64.ln()).abs() < 1e-9);
    }
    assert!(snapshot.cell_levels(&Scope::default(), Period::Year).await.unwrap().is_empty());
}

#[tokio::test]
async fn samples_are_deterministic_and_include_sources() {
    let (database, _) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    let Sample { listings, sources } = snapshot.sample(3).await.unwrap();
    assert_eq!((listings.len(), sources.len()), (3, 3));
    assert_eq!(listings, snapshot.sample(3).await.unwrap().listings);
    let all = snapshot.sample(100).await.unwrap();
    for row in 0..all.listings.len() {
        assert_eq!(all.sources[row].is_none(), all.listings.text(Column::Model, row) == Some("soul"));
    }
}

#[tokio::test]
async fn an_empty_table_has_empty_figures() {
    let (database, _) = database().await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    assert_eq!(snapshot.overview().await.unwrap().rows, 0);
    assert!(snapshot.sources(5).await.unwrap().is_empty());
    assert!(snapshot.months().await.unwrap().is_empty());
    assert!(snapshot.absences(&[]).await.unwrap().is_empty());
    assert!(snapshot.sample(5).await.unwrap().listings.is_empty());
    assert_eq!(snapshot.repeats().await.unwrap().most, 0);
    assert!(snapshot.suspicions(Distance::Km).await.unwrap().iter().all(|suspicion| suspicion.rows == 0));
}

#[tokio::test]
async fn prices_of_a_market_a_make_and_a_model() {
    let (database, _) = database().await;
    let mut snapshot = snapshot(&database, &five_cars()).await;
    snapshot.limit_statements(10_000).await.unwrap();
    let named = |brand: Option<&str>, model: Option<&str>| Scope {
        brand: brand.map(str::to_owned),
        model: model.map(str::to_owned),
    };
    let (market, make, model) = (named(None, None), named(Some("kia"), None), named(Some("kia"), Some("rio")));
    let rows = async |snapshot: &mut Snapshot, scope: &Scope| snapshot.scope_overview(scope).await.unwrap().rows;
    assert_eq!(rows(&mut snapshot, &market).await, 4, "an exact repetition counts once");
    assert_eq!(rows(&mut snapshot, &model).await, 3);
    assert_eq!(rows(&mut snapshot, &named(Some("lada"), None)).await, 0);

    let overview = snapshot.scope_overview(&model).await.unwrap();
    assert_eq!((overview.first_day, overview.last_day, overview.months), (Some(day(1)), Some(day(11)), 1));
    assert_eq!(overview.median_price, Some(600_000.0));
    let counts = |names: Vec<NamedPrices>| names.into_iter().map(|named| (named.name, named.rows)).collect::<Vec<_>>();
    assert_eq!(counts(snapshot.scope_names(&market, 9).await.unwrap()), [("kia".to_owned(), 4)]);
    assert_eq!(counts(snapshot.scope_names(&make, 9).await.unwrap()), [("rio".to_owned(), 3), ("soul".to_owned(), 1)]);
    assert!(snapshot.scope_names(&model, 9).await.unwrap().is_empty());

    let ages = snapshot.scope_ages(&model, day(11)).await.unwrap();
    let ages: Vec<_> = ages.iter().map(|age| (age.rows, age.median_price)).collect();
    assert_eq!(ages, [(2, 750_000.0), (1, 100_000.0)]);
    let periods = snapshot.scope_periods(&make, Period::Month).await.unwrap();
    assert_eq!((periods.len(), periods[0].rows, periods[0].period), (1, 3, day(1)), "without those of no date");

    let prices = async |snapshot: &mut Snapshot, offset: i64| {
        let recent = snapshot.recent_listings(&make, offset, 2).await.unwrap();
        recent.iter().map(|recent| recent.price).collect::<Vec<_>>()
    };
    assert_eq!(prices(&mut snapshot, 0).await, [600_000.0, 100_000.0]);
    assert_eq!(prices(&mut snapshot, 2).await, [900_000.0, 2_000_000.0], "those without a date come last");
}
