//! The data report on a market with known properties.

use std::fmt::Write;

use crate::market::Home;

/// The page with character references decoded.
fn decode(page: &str) -> String {
    page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace('\u{a0}', " ")
}

/// Three sources in three periods: the market doubles, `customs` is constant, only the first and the last source fill in
/// `pts`, and thirty cars are listed twice.
pub fn market() -> String {
    let mut rows =
        String::from("brand,model,year,mileage,engine_power,transmission,pts,customs,listing_date,source,price\n");
    let mut number: u32 = 0;
    for (source, year, level) in [("first", 2021, 1.0), ("second", 2022, 1.5), ("third", 2024, 2.0)] {
        for model in ["Rio", "Ceed", "Soul", "K5", "<b>Optima</b>"] {
            for age in 1..=10 {
                for copy in 0..6 {
                    number += 1;
                    let brand = if model == "K5" { "<script>alert(1)</script>" } else { "Kia" };
                    let (mileage, power) = (age * 14_000 + 137 * copy, 100 + 10 * model.len());
                    let gearbox = if copy % 2 == 0 { "автомат" } else { "механика" };
                    let pts = if source == "second" { "" } else { "Оригинал" };
                    let pts = if copy == 5 && !pts.is_empty() { "Дубликат" } else { pts };
                    let price = 1e6 * level * 0.9_f64.powi(age) * (1.0 + f64::from(number % 7) / 100.0);
                    let mut row = |day: u32, price: f64| {
                        let made = year - age;
                        writeln!(
                            rows,
                            "{brand},{model},{made},{mileage},{power},{gearbox},{pts},Растаможен,{year}-03-{day:02},{source},{price:.0}"
                        )
                        .unwrap();
                    };
                    row(1, price);
                    if number.is_multiple_of(30) {
                        row(15, price * 0.9);
                    }
                }
            }
        }
    }
    rows
}

#[test]
fn the_report_states_key_findings() {
    let home = Home::new();
    let file = home.write("market.csv", market());
    home.ok(&["import", &file]);
    home.ok(&["import", &file]);
    let output = home.ok(&["explore", "--out", "report.html"]);
    assert!(output.contains("report.html: 930 listings"), "{output}");
    assert!(output.contains("Constant column: customs"), "{output}");

    let page = std::fs::read_to_string(home.path("report.html")).unwrap();
    let seen = decode(&page);
    for words in [
        "Constant column: customs = «растаможен» in every listing that has a value (100 %)",
        "Постоянный столбец: customs (таможня) = «растаможен»",
        "Missing fields reveal the source",
        "pts is missing in 100 % of the listings from second and in 0 % of those from first",
        "рынок удвоился: одинаковые машины подорожали в 2,0",
        "From 2021-03 to 2024-03 the market doubled: comparable cars cost 2.0",
        "Relisted cars: 60 listings (6.5 %) belong to 30 cars listed more than once, 60 of them at different prices",
        "Date and source are confounded: in 3 of 3 months",
        "Imports skipped 930 exact duplicates",
        "absence reveals the source",
    ] {
        assert!(seen.contains(words), "{words} is not in the report");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("kia &lt;b&gt;optima&lt;/b&gt;"));
    assert_eq!(page.matches("<script>").count(), 1, "only the report's own script");
    assert!(!page.contains("<b>optima"));
    assert_self_contained(&page);

    let figures: serde_json::Value = serde_json::from_str(&home.ok(&["explore", "--json"])).unwrap();
    assert!(home.path("probeg-report.html").exists());
    assert_eq!(figures["overview"]["rows"], 930);
    assert_eq!(figures["repeats"]["repriced_rows"], 60);
    let customs = figures["fitness"].as_array().unwrap().iter().find(|column| column["column"] == "customs").unwrap();
    assert_eq!(customs["faults"][0]["fault"], "constant");
    let level = figures["market"]["points"][2]["level"].as_f64().unwrap();
    assert!((level - 2.0).abs() < 0.05, "{level}");
}

/// The page has no external references, and no figure is NaN or infinite.
fn assert_self_contained(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for word in ["NaN", "inf%", "inf\"", "http://", "https://", "src=", "url("] {
        assert!(!page.contains(word), "{word} is in the report");
    }
}

#[test]
fn the_report_has_the_target_and_the_units_of_its_task() {
    let home = Home::new();
    let mut rows = String::from("make,model,year,mileage,price,days_listed,listing_date\n");
    for number in 0..300 {
        let (age, day, days) = (1 + number % 10, 1 + number % 28, 5 + number % 90);
        let (year, mileage, price) = (2024 - age, 9_000 * age + number % 7, 21_000 - 1_500 * age + number);
        writeln!(rows, "Ford,Focus,{year},{mileage},{price},{days},2024-03-{day:02}").unwrap();
    }
    let file = home.write("gb.csv", rows);
    home.ok(&["import", "--market", "gb", &file]);
    let report = |task: &str| {
        let task = format!("--task={task}");
        let figures: serde_json::Value =
            serde_json::from_str(&home.ok(&["explore", &task, "--out", "report.html", "--json"])).unwrap();
        (figures, decode(&std::fs::read_to_string(home.path("report.html")).unwrap()))
    };
    let (figures, page) = report("gb-price");
    for words in
        ["пробег, миль", "mileage, miles", "price, £ (logarithmic scale)", "mileage is a multiple of 10,000 miles"]
    {
        assert!(page.contains(words), "{words} is not in the report");
    }
    assert!(!page.contains(" km") && !page.contains(" км"), "kilometres in a report in miles");
    let numbers = figures["numbers"].as_array().unwrap();
    let mileage = numbers.iter().find(|number| number["column"] == "mileage").unwrap();
    let quantiles = mileage["profile"]["quantiles"].as_array().unwrap();
    assert_eq!((&quantiles[0], &quantiles[8]), (&9_000.0.into(), &90_006.0.into()));

    let (_, page) = report("gb-days_listed");
    for words in [
        "Срок продажи в зависимости от возраста",
        "Days listed against age",
        "days listed, days (logarithmic scale)",
        "Days listed are the days from the listing to the sale.",
        "Срок продажи — дни от объявления до продажи.",
    ] {
        assert!(page.contains(words), "{words} is not in the report");
    }
    // Cars are told apart by all columns except the price, whatever the target.
    for word in ["цена", "Цена", "цене", "Price", "prices ", "£"] {
        assert!(!page.contains(word), "{word} in a report on days");
    }
}

#[test]
fn an_empty_table_is_an_error_and_leaves_no_report() {
    let home = Home::new();
    let error = home.fails(1, &["explore", "--out", "report.html"]);
    assert!(error.contains("there are no listings to explore: import some with `probeg import FILE`"), "{error}");
    assert!(!home.path("report.html").exists());
}

#[test]
fn degenerate_tables_have_a_report() {
    let constant = "Kia,Rio,2018,50000,1350000,\nKia,Rio,2018,50000,1350001,\n";
    let dear = "Kia,Rio,2018,1,10000000000,2026-03-01\nKia,Rio,2018,2,1,2026-03-01\nKia,,2027,0,5,\n";
    let dates = "Kia,Rio,2018,1,10,1990-01-01\nKia,Rio,2018,2,20,2026-03-01\nKia,Rio,2018,2,30,2026-03-01\n";
    // Each adds to the previous ones; all remain degenerate.
    let home = Home::new();
    for rows in ["Kia,,2018,5,100,\n", constant, dear, dates] {
        let file = home.write("few.csv", format!("brand,model,year,mileage,price,listing_date\n{rows}"));
        home.ok(&["import", &file]);
        home.ok(&["explore", "--out", "report.html"]);
        let page = std::fs::read_to_string(home.path("report.html")).unwrap();
        assert_self_contained(&page);
        assert!(decode(&page).contains("No listing has a value in: "), "{rows}");
    }
}

#[test]
fn an_unwritable_report_is_an_error() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "50"]);
    let error = home.fails(1, &["explore", "--out", "absent/report.html"]);
    assert!(error.contains("absent/report.html cannot be written"), "{error}");
}
