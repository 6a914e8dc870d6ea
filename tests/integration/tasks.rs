//! Several markets and tasks in one database.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::market::{Home, SMALL, Server, block_on, rio};

/// British listings as CSV, the same for every call. Every third car has a sale price.
pub fn british(rows: u32) -> String {
    let mut csv =
        "Make,Model,Registration year,Miles,Fuel,Gearbox,Engine size,Price (£),Sold price,Days on market\n".to_owned();
    for row in 0..rows {
        let (make, model, new) =
            [("Ford", "Fiesta", 14_000.0), ("Vauxhall", "Astra", 17_000.0), ("BMW", "3 Series", 33_000.0)]
                [row as usize % 3];
        let (age, noise) = (1 + row * 5 % 14, f64::from(row * 37 % 100) / 1000.0 - 0.05);
        let miles = age * 6_500 + row * 131 % 9_000;
        let gearbox = if row % 4 == 0 { "Automatic" } else { "Manual" };
        let price = new * 0.86_f64.powi(age.cast_signed()) * (1.0 - f64::from(miles) / 600_000.0) * (1.0 + noise);
        let sold = if row % 3 == 0 { format!("{:.0},{}", 0.93 * price, 5 + row % 60) } else { ",".to_owned() };
        let year = 2021 - age;
        writeln!(csv, "{make},{model},{year},{miles},Petrol,{gearbox},1.{},{price:.0},{sold}", row % 9).unwrap();
    }
    csv
}

fn card(home: &Home, task: &str) -> Value {
    let mut card: Value = serde_json::from_str(&home.ok(&["evaluate", "--task", task, "--json"])).unwrap();
    card.as_object_mut().unwrap().remove("model").unwrap();
    card
}

pub fn train(home: &Home, task: &str) {
    home.ok(&[&["train", "--task", task, "--promote", "--set=backtest=false", "--set=refit=false"], SMALL.as_slice()]
        .concat());
}

fn value(server: &Server, query: &str, car: &Value) -> Value {
    let post = async {
        reqwest::Client::new().post(server.url(&format!("/v1/valuations{query}"))).json(car).send().await?.json().await
    };
    block_on(post).unwrap()
}

#[test]
fn a_market_beside_others_has_the_models_of_a_database_of_its_own() {
    let (shared, own) = (Home::new(), Home::new());
    shared.ok(&["synth", "--rows", "2000"]);
    train(&shared, "price");
    let russian = card(&shared, "price");
    for home in [&shared, &own] {
        let file = home.write("cars.csv", british(1800));
        let imported = home.ok(&["import", "--market", "gb", &file]);
        assert!(imported.contains("1,800 added"), "{imported}");
        train(home, "gb-price");
    }
    assert_eq!(card(&shared, "gb-price"), card(&own, "gb-price"));
    assert_eq!(card(&shared, "price"), russian);
    let british_card = card(&shared, "gb-price");
    assert_eq!((&british_card["task"], &british_card["unit"]), (&"gb-price".into(), &"GBP".into()));
    assert!(british_card["mape"].as_f64().unwrap() < 0.3, "{british_card}");

    train(&shared, "gb-sale_price");
    train(&shared, "gb-days_listed");
    let fiesta = json!({ "brand": "ford", "model": "Fiesta", "year": 2016, "mileage": 31_000, "transmission": "Manual gearbox" });
    let server = Server::start(&shared);
    let asked = value(&server, "?task=gb-price&explain=true&comparables=3&curves=true", &fiesta);
    assert_eq!((&asked["currency"], &asked["unit"]), (&"GBP".into(), &"GBP".into()));
    assert!((2_000.0..12_000.0).contains(&asked["price"].as_f64().unwrap()), "{asked}");
    // Mileages of the answer are in miles, as those of the request.
    let comparable = &asked["comparables"][0];
    assert!((15_000..60_000).contains(&comparable["mileage"].as_i64().unwrap()), "{comparable}");
    assert!(asked["curves"]["mileage"].as_array().unwrap().iter().any(|point| point["mileage"] == 31_000), "{asked}");
    let sold =
        value(&server, "?task=gb-sale_price", &fiesta)["price"].as_f64().unwrap() / asked["price"].as_f64().unwrap();
    assert!((0.7..1.1).contains(&sold), "{sold}");
    let days = value(&server, "?task=gb-days_listed", &fiesta);
    assert_eq!(days["unit"], "days");
    assert!((5.0..70.0).contains(&days["price"].as_f64().unwrap()), "{days}");
    assert_eq!(value(&server, "", &rio())["currency"], "RUB");

    let tasks: Value = block_on(async { reqwest::get(server.url("/v1/tasks")).await?.json().await }).unwrap();
    let names: Vec<&str> =
        tasks["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(
        (names, &tasks["default"]),
        (vec!["gb-days_listed", "gb-price", "gb-sale_price", "price"], &"price".into())
    );

    // Each task has its own history, and rolls back on its own.
    assert!(shared.fails(1, &["models", "rollback", "--task", "gb-price"]).contains("nothing to roll back to"));
    let history = shared.ok(&["models", "history"]);
    assert!(history.contains("of gb-sale_price") && history.contains("of price"), "{history}");

    let skipped: Value = serde_json::from_str(&shared.ok(&["train", "--all", "--json"])).unwrap();
    let outcomes: Vec<&str> =
        skipped.as_array().unwrap().iter().map(|task| task["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["skipped"; 4], "{skipped}");
}

#[test]
fn files_that_do_not_belong_to_their_market_are_refused_and_leave_nothing() {
    let home = Home::new();
    let file = home.write("cars.csv", british(300));
    assert!(home.fails(1, &["import", "--market", "fr", &file]).contains("there is no market \"fr\""));
    let pence = british(300)
        .lines()
        .map(|line| {
            let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            if let Ok(price) = fields[7].parse::<f64>() {
                fields[7] = (100.0 * price).to_string();
            }
            fields.join(",")
        })
        .collect::<Vec<_>>()
        .join("\n");
    let pence = home.write("pence.csv", pence);
    assert!(home.fails(1, &["import", "--market", "gb", &pence]).contains("in hundredths or thousands?"));
    let german =
        british(300).replace("Price (£)", "Price").replace("Manual", "Schaltgetriebe").replace("Petrol", "Benzin");
    let german = home.write("german.csv", german);
    assert!(home.fails(1, &["import", "--market", "gb", &german]).contains("words are unknown in the market gb"));
    let listed = home.ok(&["tasks", "list"]);
    assert!(!listed.contains("gb-price"), "{listed}");
    assert!(home.ok(&["import", "--market", "gb", "--unchecked", &pence]).contains("300 added"));
}

#[test]
fn tasks_and_markets_that_make_no_sense_are_refused_by_name() {
    let home = Home::new();
    home.ok(&["import", "--market", "gb", &home.write("cars.csv", british(600))]);
    let add = |arguments: &[&str]| home.fails(1, &[&["tasks", "add", "--market", "gb"], arguments].concat());
    assert!(
        add(&["kia", "--where", "brand=kia"])
            .contains("no listing of the market gb has a price and meets the conditions")
    );
    assert!(add(&["x", "--where", "colour=red"]).contains("must be a column, an operator"));
    assert!(add(&["x", "--target", "mileage"]).contains("must be one of price, sale_price and days_listed"));
    assert!(add(&["gb-price"]).contains("there is already a task \"gb-price\""));
    home.ok(&["tasks", "add", "--market", "gb", "bmw", "--where", "brand=bmw", "--where", "transmission=automatic"]);
    let rare = home.fails(1, &["train", "--task", "bmw"]);
    assert!(rare.contains("too few listings"), "{rare}");
    let constant = british(600)
        .lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(',').collect();
            if fields[9].parse::<f64>().is_ok() {
                fields[9] = "30";
            }
            fields.join(",")
        })
        .collect::<Vec<_>>()
        .join("\n");
    let other = Home::new();
    other.ok(&["import", "--market", "gb", &other.write("cars.csv", constant)]);
    let error = other.fails(1, &[&["train", "--task", "gb-days_listed"], SMALL.as_slice()].concat());
    assert!(error.contains("days_listed of all training listings of the task gb-days_listed is the same"), "{error}");
    assert!(
        home.fails(1, &["train", "--task", "fr-price"]).contains("there is no task \"fr-price\"; there are price, ")
    );

    let definition = include_str!("../../domain/markets/de.toml").replace("name = \"de\"", "name = \"at\"");
    let file = home.write("at.toml", &definition);
    assert!(home.ok(&["markets", "add", &file]).contains("market at added"));
    let without_currency = home.write("broken.toml", definition.replace("currency = \"EUR\"\n", ""));
    assert!(home.fails(1, &["markets", "add", &without_currency]).contains("missing field `currency`"));
    let contradiction = definition.replace("\"automatik\" = [", "\"automatik\" = [\"manuell\", ");
    let contradiction = home.write("contradiction.toml", contradiction);
    assert!(home.fails(1, &["markets", "add", &contradiction]).contains("\"manuell\" means both"));
    let francs = home.write("francs.toml", definition.replace("EUR", "CHF"));
    assert!(home.fails(1, &["markets", "add", &francs]).contains("exists with another currency"));
}
