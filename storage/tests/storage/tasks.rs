//! Tasks, their listings and their champions.

use domain::market::Distance;
use domain::{Column, Market, PricedListing, Task};
use serde_json::json;
use storage::{Database, Error, Import, NewModel, RowFilter, Snapshot};

use crate::sandbox::{database, rows};

async fn import(database: &Database, rows: &[PricedListing]) {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(0).await.unwrap();
}

/// Listings, every third one sold for 90 % after as many days as its number.
fn sold(numbers: std::ops::Range<u32>) -> Vec<PricedListing> {
    let mut rows = rows(numbers);
    for (number, row) in rows.iter_mut().enumerate().filter(|(number, _)| number % 3 == 0) {
        row.targets.sale_price = Some(0.9 * row.targets.price);
        row.targets.days_listed = Some(f64::from(u32::try_from(number).unwrap()));
    }
    rows
}

async fn targets(database: &Database, task: &Task) -> Vec<f64> {
    let mut snapshot = Snapshot::begin(database).await.unwrap().for_task(task).unwrap();
    let mut targets = Vec::new();
    for block in snapshot.blocks(2) {
        let chunk = snapshot.read_block(block, RowFilter::All).await.unwrap();
        targets.extend((0..chunk.len()).map(|row| chunk.target(row)));
    }
    let counted = snapshot.rows([RowFilter::All]).await.unwrap();
    assert_eq!(counted, [targets.len() as u64]);
    targets
}

#[tokio::test]
async fn an_import_adds_the_tasks_of_its_targets() {
    let (database, _) = database().await;
    let names = async || database.tasks().list().await.unwrap().into_iter().map(|task| task.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["price"]);
    import(&database, &rows(0..10)).await;
    assert_eq!(names().await, ["price"]);
    import(&database, &sold(10..20)).await;
    assert_eq!(names().await, ["price", "days_listed", "sale_price"]);
    let germany = Market::built_in().iter().find(|market| market.name() == "de").unwrap();
    import(&database.in_market(germany).await.unwrap(), &rows(0..10)).await;
    assert_eq!(names().await, ["price", "days_listed", "de-price", "sale_price"]);
    let task = database.tasks().get("de-price").await.unwrap();
    assert_eq!((&task.market, task.target), (germany, Column::Price));
    let error = database.tasks().get("fr-price").await.unwrap_err().to_string();
    assert_eq!(error, "there is no task \"fr-price\"; there are price, days_listed, de-price, sale_price");
}

#[tokio::test]
async fn a_task_has_the_listings_with_its_target_that_meet_its_conditions() {
    let (database, _) = database().await;
    import(&database, &sold(0..300)).await;
    assert_eq!(targets(&database, &Task::price()).await.len(), 300);
    let sale_price = Task::of_market(Market::russia(), Column::SalePrice);
    let sold = targets(&database, &sale_price).await;
    assert_eq!(sold.len(), 100);
    assert!((sold[1] - 0.9 * 500_003.0).abs() < 1e-6, "{}", sold[1]);
    let days = targets(&database, &Task::of_market(Market::russia(), Column::DaysListed)).await;
    assert_eq!(&days[..3], [1.0, 3.0, 6.0], "a car that was sold at once stood for a day");
    let conditions = ["year>=2010", "model=Модель 3|O'Neill", "price<500200"].map(str::to_owned).to_vec();
    let some = Task::new("some", Market::russia().clone(), Column::Price, conditions).unwrap();
    let prices = targets(&database, &some).await;
    let expected = (0..200).filter(|number| number % 20 >= 10 && number % 7 == 3).count();
    assert_eq!(prices.len(), expected);
    assert!(database.tasks().add(&some).await.unwrap());
    assert!(!database.tasks().add(&some).await.unwrap());
    assert_eq!(database.tasks().get("some").await.unwrap(), some);
}

#[tokio::test]
async fn a_report_describes_the_listings_of_its_task() {
    let (database, _) = database().await;
    import(&database, &sold(0..300)).await;
    let sale_price = Task::of_market(Market::russia(), Column::SalePrice);
    let conditions = vec!["year>=2010".to_owned()];
    let some = Task::new("some", Market::russia().clone(), Column::Price, conditions).unwrap();
    for (task, rows) in [(Task::price(), 300), (sale_price, 100), (some, 150)] {
        let mut snapshot = Snapshot::begin_for_report(&database, &task).await.unwrap();
        assert_eq!(snapshot.overview().await.unwrap().rows, rows);
        let sources = snapshot.sources(5).await.unwrap();
        snapshot.months().await.unwrap();
        snapshot.absences(&sources).await.unwrap();
        snapshot.repeats().await.unwrap();
        snapshot.suspicions(Distance::Km).await.unwrap();
        let sample = snapshot.sample(1000).await.unwrap();
        let targets = (0..sample.listings.len()).map(|row| sample.listings.target(row));
        let lowest = targets.fold(f64::INFINITY, f64::min);
        assert_eq!(lowest < 499_000.0, task.target == Column::SalePrice, "{lowest}");
    }
}

#[tokio::test]
async fn outcomes_distinguish_listings() {
    let (database, _) = database().await;
    import(&database, &rows(0..30)).await;
    import(&database, &sold(0..30)).await;
    let sale_price = Task::of_market(Market::russia(), Column::SalePrice);
    assert_eq!(targets(&database, &Task::price()).await.len(), 40, "those that were sold since are new listings");
    assert_eq!(targets(&database, &sale_price).await.len(), 10);
}

#[tokio::test]
async fn each_task_has_a_champion_and_a_history_of_its_own() {
    let (database, pool) = database().await;
    import(&database, &sold(0..10)).await;
    let models = database.models();
    let mut versions = Vec::new();
    for task in ["price", "sale_price", "price", "sale_price"] {
        let model =
            NewModel { task: task.to_owned(), run_id: None, bytes: vec![1; 10], signature: json!({}), card: json!({}) };
        let version = models.register(&model).await.unwrap();
        models.promote(version, "ann").await.unwrap();
        versions.push(version);
    }
    let [first, first_sale, second, second_sale] = versions[..] else { panic!() };
    assert_eq!(models.resolve("champion").await.unwrap(), Some(second));
    assert_eq!(models.resolve("sale_price/champion").await.unwrap(), Some(second_sale));
    assert_eq!(models.rollback("sale_price", "bob").await.unwrap(), first_sale);
    assert_eq!(models.champion("price").await.unwrap(), Some(second));
    assert!(matches!(models.rollback("sale_price", "bob").await, Err(Error::NoEarlierChampion)));
    assert_eq!(models.rollback("price", "bob").await.unwrap(), first);
    let champions = models.champions().await.unwrap();
    let served: Vec<_> = champions.iter().map(|(task, file)| (task.as_str(), file.version)).collect();
    assert_eq!(served, [("price", first), ("sale_price", first_sale)]);
    let tasks: Vec<_> = models.history().await.unwrap().into_iter().map(|change| change.task).collect();
    assert_eq!(tasks, ["price", "sale_price", "sale_price", "price", "sale_price", "price"]);
    // As a server of an earlier version would, which knows one task only.
    let query = sqlx::query("UPDATE model_aliases SET version = $1 WHERE alias = 'champion'").bind(first_sale);
    let error = query.execute(&pool).await.unwrap_err().to_string();
    assert!(error.contains("is of the task sale_price"), "{error}");
}
