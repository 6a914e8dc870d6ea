//! The cluster shared by the tests, and sample rows.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chrono::NaiveDate;
use domain::{Cell, Column, Listing, Market, PricedListing, Targets};
use postgres::Cluster;
use sqlx::{Connection, PgConnection, PgPool};
use storage::Database;

/// Never set: tests are not stopped.
pub static NEVER_STOP: AtomicBool = AtomicBool::new(false);

/// The cluster, and a shell that stops it and removes its folder after this process has exited: statics are never
/// dropped.
struct Sandbox {
    cluster: Cluster,
    _cleanup: Child,
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let home = public_folder().keep();
        let cluster = Cluster::open(&home, None, &NEVER_STOP).unwrap();
        Sandbox { cluster, _cleanup: spawn_cleanup(&home) }
    })
}

/// Waits until its standard input is closed by the exit of this process.
fn spawn_cleanup(home: &Path) -> Child {
    let script = r#"
        trap '' INT TERM
        cat > /dev/null
        pid=$(head -n 1 "$0/cluster/data/postmaster.pid") && kill -INT "$pid"
        while [ -e "$0/cluster/data/postmaster.pid" ]; do sleep 0.1; done
        rm -rf "$0"
    "#;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(home).stdin(Stdio::piped()).spawn().unwrap()
}

/// A folder that the server's user may enter.
pub fn public_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A new database with tables, and a pool for direct queries.
pub async fn database() -> (Database, PgPool) {
    let url = empty_database().await;
    let database = Database::connect(&url, 4).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    (database, pool)
}

/// The URL of a new database without tables.
pub async fn empty_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let sandbox = tokio::task::spawn_blocking(sandbox).await.unwrap();
    let mut connection = PgConnection::connect(&sandbox.cluster.url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    sandbox.cluster.url_of(&name)
}

/// A listing with most columns filled in, distinct for each number.
pub fn row(number: u32) -> PricedListing {
    let model = format!("Модель {}", number % 7);
    let mut cells = vec![
        (Column::Brand, Cell::Text("Киа")),
        (Column::Model, Cell::Text(&model)),
        (Column::Year, Cell::Number(2000.0 + f64::from(number % 20))),
        (Column::Mileage, Cell::Number(f64::from(number))),
        (Column::EngineVolume, Cell::Text("1,6")),
        (Column::OwnersCount, Cell::Text("4 и более")),
        (Column::Transmission, Cell::Text("АКПП")),
    ];
    if number.is_multiple_of(2) {
        cells.push((Column::ListingDate, Cell::Date(day(1 + number % 28))));
    }
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    let listing = Listing::from_cells(cells, Market::russia(), today).unwrap();
    let targets = Targets::price(500_000.0 + f64::from(number));
    PricedListing { listing, targets, car_group: None, source: Some("a\0b".into()) }
}

pub fn rows(numbers: std::ops::Range<u32>) -> Vec<PricedListing> {
    numbers.map(row).collect()
}

pub fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
}
