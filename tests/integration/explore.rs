//! The data report of a market whose peculiarities are known.

use std::fmt::Write;

use crate::market::Home;

/// What the report says in one language, as a reader sees it.
fn read(page: &str) -> String {
    page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace('\u{a0}', " ")
}

/// Three sources at three times: the market doubles, `customs` never changes, only the first and the
/// last ask for `pts`, and thirty cars are listed twice.
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
fn the_report_says_unasked_what_decides_how_to_model() {
    let home = Home::new();
    let file = home.write("market.csv", market());
    home.ok(&["import", &file]);
    home.ok(&["import", &file]);
    let told = home.ok(&["explore", "--out", "report.html"]);
    assert!(told.contains("report.html: 930 listings"), "{told}");
    assert!(told.contains("Constant column: customs"), "{told}");

    let page = std::fs::read_to_string(home.path("report.html")).unwrap();
    let seen = read(&page);
    for words in [
        "Constant column: customs = «растаможен» in every listing that has a value (100 %)",
        "Постоянный столбец: customs (таможня) = «растаможен»",
        "The absence of fields betrays the source",
        "pts is missing in 100 % of the listings from second and in 0 % of those from first",
        "рынок удвоился: одинаковые машины подорожали в 2,0",
        "From 2021-03 to 2024-03 the market doubled: like cars cost 2.0",
        "Relisted cars: 60 listings (6.5 %) are 30 cars listed more than once; 60 of them at another price",
        "Date and source cannot be told apart: in 3 of 3 months",
        "Imports left out 930 exact repetitions",
        "absence betrays the source",
    ] {
        assert!(seen.contains(words), "{words} is not in the report");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("kia &lt;b&gt;optima&lt;/b&gt;"));
    assert_eq!(page.matches("<script>").count(), 1, "only the report's own script is one");
    assert!(!page.contains("<b>optima"));
    assert_is_whole(&page);

    let figures: serde_json::Value = serde_json::from_str(&home.ok(&["explore", "--json"])).unwrap();
    assert!(home.path("probeg-report.html").exists());
    assert_eq!(figures["overview"]["rows"], 930);
    assert_eq!(figures["repeats"]["repriced_rows"], 60);
    let customs = figures["fitness"].as_array().unwrap().iter().find(|column| column["column"] == "customs").unwrap();
    assert_eq!(customs["faults"][0]["fault"], "constant");
    let level = figures["market"]["points"][2]["level"].as_f64().unwrap();
    assert!((level - 2.0).abs() < 0.05, "{level}");
}

/// Nothing in it leads anywhere, and no figure came out as no number.
fn assert_is_whole(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for word in ["NaN", "inf%", "inf\"", "http://", "https://", "src=", "url("] {
        assert!(!page.contains(word), "{word} is in the report");
    }
}

#[test]
fn an_empty_table_is_told_and_leaves_no_report() {
    let home = Home::new();
    let error = home.fails(1, &["explore", "--out", "report.html"]);
    assert!(error.contains("there are no listings to explore: import some with `probeg import FILE`"), "{error}");
    assert!(!home.path("report.html").exists());
}

#[test]
fn degenerate_tables_have_a_report_too() {
    let constant = "Kia,Rio,2018,50000,1350000,\nKia,Rio,2018,50000,1350001,\n";
    let dear = "Kia,Rio,2018,1,10000000000,2026-03-01\nKia,Rio,2018,2,1,2026-03-01\nKia,,2027,0,5,\n";
    let dates = "Kia,Rio,2018,1,10,1990-01-01\nKia,Rio,2018,2,20,2026-03-01\nKia,Rio,2018,2,30,2026-03-01\n";
    // Each adds to those before it, and is degenerate all the same.
    let home = Home::new();
    for rows in ["Kia,,2018,5,100,\n", constant, dear, dates] {
        let file = home.write("few.csv", format!("brand,model,year,mileage,price,listing_date\n{rows}"));
        home.ok(&["import", &file]);
        home.ok(&["explore", "--out", "report.html"]);
        let page = std::fs::read_to_string(home.path("report.html")).unwrap();
        assert_is_whole(&page);
        assert!(read(&page).contains("No listing has a value in: "), "{rows}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "50"]);
    let error = home.fails(1, &["explore", "--out", "absent/report.html"]);
    assert!(error.contains("absent/report.html cannot be written"), "{error}");
}
