//! The cars of a query are valued into a table as those of a file are.

use std::process::Stdio;

use crate::market::{SMALL, signal, wait_until};
use crate::parts::Machines;
use crate::slurm::Cluster;

const QUERY: &str = "SELECT * FROM stock ORDER BY id";

/// Machines with a champion, and a table of cars: most are listings, some cannot be valued.
fn machines() -> Machines {
    let machines = Machines::new();
    machines.ok("home", &[&["train", "--promote"], SMALL.as_slice()].concat());
    machines.query(
        "CREATE TABLE stock AS SELECT id::int, brand, model, year, mileage, engine_power, transmission, listing_date AS \"Дата\",
             CASE WHEN id % 3 = 0 THEN '' ELSE E'a \"note\",\\n on two lines' END AS note FROM listings WHERE id <= 20500;
         INSERT INTO stock (id, brand, year, mileage) VALUES (100001, 'Kiaa', 2018, 83000), (100002, NULL, 2018, 83000),
             (100003, 'Kia', 1500, 83000), (100004, NULL, NULL, NULL)",
    );
    machines
}

/// The rows of a table without its header.
fn rows(machines: &Machines, table: &str) -> String {
    machines.query(&format!(
        "COPY (SELECT id, predict_value, predict_low, predict_high, predict_status FROM {table} ORDER BY id) TO STDOUT (FORMAT csv)"
    ))
}

/// The same of a file in which `probeg predict` has valued the same cars.
fn rows_of_file(machines: &Machines) -> String {
    let cars = machines.query(&format!("COPY ({QUERY}) TO STDOUT (FORMAT csv, HEADER)"));
    let (cars, valued) = (machines.home.write("cars.csv", cars), machines.home.path("valued.csv"));
    machines.ok("home", &["predict", &cars, "-o", valued.to_str().unwrap()]);
    machines.query("CREATE TABLE of_file AS SELECT *, 0.0::float8 AS predict_value, 0.0::float8 AS predict_low, 0.0::float8 AS predict_high, '' AS predict_status FROM stock WITH NO DATA");
    machines.query(&format!("\\copy of_file FROM '{}' (FORMAT csv, HEADER)", valued.display()));
    rows(machines, "of_file")
}

fn tables(machines: &Machines) -> String {
    machines.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%\\_of\\_stock' ORDER BY 1")
}

#[test]
fn a_table_has_the_prices_that_a_file_has() {
    let machines = machines();
    let into =
        |options: &[&'static str]| [&["predict", "--query", QUERY, "--into", "prices_of_stock"], options].concat();
    let expected = rows_of_file(&machines);
    let output = machines.ok("home", &into(&[]));
    let count =
        |what: &str| machines.query(&format!("SELECT count({what}) FROM of_file")).trim().parse::<u64>().unwrap();
    let (rows_of_stock, valued) = (count("*"), count("predict_value"));
    assert!(valued > 3000 && rows_of_stock == valued + 4, "{valued} of {rows_of_stock}");
    assert_eq!(output, format!("prices_of_stock: {valued} of {rows_of_stock} rows valued by model version 1\n"));
    assert_eq!(rows(&machines, "prices_of_stock"), expected);
    // The other columns are as they were, with their types.
    let differing = "SELECT count(*) FROM prices_of_stock p JOIN stock s USING (id)
         WHERE to_jsonb(s) <> to_jsonb(p) - 'predict_value' - 'predict_low' - 'predict_high' - 'predict_status'";
    assert_eq!(machines.query(differing), "0\n");
    assert_eq!(tables(&machines), "prices_of_stock\n");

    // An existing table is kept, unless it is to be replaced.
    let error = machines.fails("home", &into(&[]));
    assert!(error.contains("the table prices_of_stock exists") && error.contains("--replace"), "{error}");
    machines.ok("home", &into(&["--replace", "--key", "id"]));
    assert_eq!(rows(&machines, "prices_of_stock"), expected);
    let columns = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = 'prices_of_stock'::regclass AND attnum > 0";
    assert_eq!(machines.query(columns), "id predict_value predict_low predict_high predict_status\n");

    // A failure leaves the table as it was and nothing beside it.
    machines.query("CREATE VIEW dear AS SELECT * FROM prices_of_stock WHERE predict_value > 1e6");
    let error = machines.fails("home", &into(&["--replace"]));
    assert!(error.contains("cannot be replaced") && error.contains("view dear"), "{error}");
    assert_eq!((rows(&machines, "prices_of_stock"), tables(&machines)), (expected, "prices_of_stock\n".to_owned()));
}

#[test]
fn a_wrong_query_or_table_is_refused() {
    let machines = machines();
    let fails = |query: &str, into: &str, options: &[&str]| {
        machines.fails("home", &[&["predict", "--query", query, "--into", into], options].concat())
    };
    for (query, into, options, expected) in [
        ("SELEC 1", "a_of_stock", &[] as &[&str], "the query failed: syntax error"),
        ("SELECT * FROM stok", "a_of_stock", &[], "relation \"stok\" does not exist"),
        ("SELECT * FROM stock) AS q; DROP TABLE stock; --", "a_of_stock", &[], "the query failed"),
        ("SELECT 1 / (id - id) AS year, brand, mileage FROM stock", "a_of_stock", &[], "division by zero"),
        ("SELECT id, brand, year FROM stock", "a_of_stock", &[], "missing required column mileage"),
        ("SELECT *, 1 AS predict_low FROM stock", "a_of_stock", &[], "rename it with AS"),
        (QUERY, "a of stock", &[], "is not a name for a table"),
        (QUERY, "nowhere.a_of_stock", &[], "schema \"nowhere\" does not exist"),
        (QUERY, "a_of_stock", &["--key", "vin"], "its columns are id, brand"),
        (QUERY, "a_of_stock", &["--key", "brand"], "do not identify each car"),
        (QUERY, "stock", &[], "the table stock exists"),
    ] {
        let error = fails(query, into, options);
        assert!(error.contains(expected), "{query} into {into}: {error}");
        assert_eq!(tables(&machines), "", "{query}");
    }
    assert!(machines.query("SELECT count(*) > 3000 FROM stock").starts_with('t'));
    let error = machines.fails("home", &["predict", "--into", "a_of_stock"]);
    assert!(error.contains("--query"), "{error}");
    let error = machines.fails("home", &["predict", "--into", "a_of_stock", "--part", "0"]);
    assert!(error.contains("no cars are kept for the table a_of_stock"), "{error}");
    let part = ["predict", "--into", "a_of_stock", "--part", "0", "--program", "0.0.1"];
    let error = machines.fails("home", &part);
    assert!(error.contains("Probeg 0.0.1 has cut the work"), "{error}");
    machines.home.fails(2, &["predict", "cars.csv", "--into", "a_of_stock"]);
    machines.home.fails(2, &["predict", "cars.csv"]);

    // The database of the cars is another one, whose user may not do everything.
    machines.query("CREATE ROLE reader LOGIN");
    let url = machines.database_url();
    let url = format!("postgres://reader@{}", url.split_once('@').unwrap().1);
    let mut command = machines.command("home", &["predict", "--query", "SELECT * FROM stock", "--into", "a_of_stock"]);
    let output = command.env("PROBEG_CARS_URL", url).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("permission denied") && error.contains("SELECT"), "{error}");
}

#[test]
fn two_nodes_value_each_car_once() {
    let machines = machines();
    let cluster = Cluster::start();
    let expected = rows_of_file(&machines);
    let mut predict = machines
        .command("a", &["predict", "--query", QUERY, "--into", "prices_of_stock", "--on", "slurm", "--parts", "3"]);
    cluster.connect(&mut predict);
    let output = predict.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("3 of 3 parts valued"), "{log}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("rows valued by model version 1"));
    assert_eq!(rows(&machines, "prices_of_stock"), expected);
    assert_eq!(tables(&machines), "prices_of_stock\n");

    // Ctrl-C cancels the jobs and leaves nothing behind.
    let mut predict = machines.command(
        "a",
        &["predict", "--query", QUERY, "--into", "other_of_stock", "--on", "slurm", "--parts", "2", "--sbatch=--hold"],
    );
    cluster.connect(&mut predict);
    let predict = predict.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the jobs are in the queue", || !cluster.call("squeue", &["-h"]).is_empty());
    // A part that runs twice at once, and again when it is done, is valued once.
    let part = ["predict", "--into", "other_of_stock", "--parts", "2", "--part", "1"];
    let both = [(); 2].map(|()| machines.command("b", &part).spawn().unwrap());
    for mut process in both {
        assert!(process.wait().unwrap().success());
    }
    machines.ok("b", &part);
    let done = machines.query("SELECT count(*), count(DISTINCT probeg_row) FROM probeg_prices_other_of_stock");
    let half = expected.lines().count() - expected.lines().count() / 2;
    assert_eq!(done, format!("{half}|{half}\n"));
    let error = machines.fails("b", &["predict", "--query", QUERY, "--into", "other_of_stock"]);
    assert!(error.contains("another process is valuing cars into the table other_of_stock"), "{error}");
    signal("-INT", &predict.id().to_string());
    let output = predict.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("the jobs on the cluster were cancelled"), "{log}");
    assert_eq!(tables(&machines), "prices_of_stock\n");
}
