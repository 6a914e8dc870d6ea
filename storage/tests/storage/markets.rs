//! Markets side by side in one database.

use domain::{Column, Market, PricedListing};
use storage::{Database, Error, Import, ImportCounts, RowFilter, Snapshot};

use crate::sandbox::{database, rows};

fn market(name: &str) -> &'static Market {
    Market::built_in().iter().find(|market| market.name() == name).unwrap()
}

async fn import(database: &Database, rows: &[PricedListing]) -> ImportCounts {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(0).await.unwrap()
}

/// The listings of each block.
async fn blocks(database: &Database) -> Vec<storage::ListingChunk> {
    let mut snapshot = Snapshot::begin(database).await.unwrap();
    let mut chunks = Vec::new();
    for block in snapshot.blocks(2) {
        chunks.push(snapshot.read_block(block, RowFilter::All).await.unwrap());
    }
    chunks
}

#[tokio::test]
async fn a_market_is_stored_as_in_a_database_of_its_own() {
    let (shared, _) = database().await;
    let (own, _) = database().await;
    import(&shared, &rows(0..500)).await;
    let before = blocks(&shared).await;
    let germany = shared.in_market(market("de")).await.unwrap();
    assert!(germany.listings().is_empty().await.unwrap());
    let counts = import(&germany, &rows(100..900)).await;
    assert_eq!((counts.added, counts.already_known), (800, 0), "listings of another market are no repetitions");
    assert_eq!(import(&germany, &rows(100..900)).await.already_known, 800);
    import(&own.in_market(market("de")).await.unwrap(), &rows(100..900)).await;
    assert_eq!(blocks(&germany).await, blocks(&own.in_market(market("de")).await.unwrap()).await);
    assert_eq!(blocks(&shared).await, before);
    let chunk = &blocks(&germany).await[0];
    assert_eq!(chunk.text(Column::Brand, 0), Some("киа"), "spellings are those of the market");
    assert_eq!(before[0].text(Column::Brand, 0), Some("kia"));
}

#[tokio::test]
async fn processes_may_open_a_new_market_at_the_same_time() {
    let (database, _) = database().await;
    let opened = (0..8).map(|_| database.in_market(market("us")));
    for opened in futures_util::future::join_all(opened).await {
        assert!(opened.unwrap().listings().is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn added_markets_keep_their_units() {
    let (database, _) = database().await;
    let markets = database.markets();
    let mut definition = market("de").definition().clone();
    definition.name = "at".to_owned();
    let austria: Market = definition.clone().try_into().unwrap();
    assert!(markets.add(&austria).await.unwrap());
    assert!(!markets.add(&austria).await.unwrap());
    assert_eq!(markets.get("at").await.unwrap(), Some(austria));
    assert_eq!(markets.list().await.unwrap().len(), 5);
    definition.currency = "CHF".to_owned();
    let error = markets.add(&definition.try_into().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::MarketUnits(_)), "{error}");
    let error = markets.add(market("gb")).await.unwrap_err();
    assert!(matches!(error, Error::BuiltInMarket(_)), "{error}");
}

#[tokio::test]
async fn new_spellings_convert_the_listings_of_their_market() {
    let (database, _) = database().await;
    let mut definition = market("de").definition().clone();
    definition.name = "at".to_owned();
    let before: Market = definition.clone().try_into().unwrap();
    import(&database.in_market(&before).await.unwrap(), &rows(0..50)).await;
    definition.values.entry(Column::Brand).or_default().insert("kia".to_owned(), vec!["киа".to_owned()]);
    let after: Market = definition.try_into().unwrap();
    let database = database.in_market(&after).await.unwrap();
    database.recanonicalize_listings().await.unwrap();
    assert_eq!(blocks(&database).await[0].text(Column::Brand, 0), Some("kia"));
}
