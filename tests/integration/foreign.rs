//! A model of another program, from the listings to its prices.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::market::{Home, SMALL, python};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bring-your-own").join(name)
}

/// Runs a program of the example, which must succeed, and returns its output.
fn run(home: &Home, name: &str, arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(|argument| home.path(argument));
    let output = Command::new(python()).arg(example(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_model_of_lightgbm_is_measured_promoted_and_served() {
    let home = Home::new();
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    home.ok(&["synth", "--rows", "3000"]);
    home.ok(&[&["train", "--promote", "--set=backtest=false", "--set=refit=false"], SMALL.as_slice()].concat());
    home.ok(&["models", "export", "champion", "-o", &path("champion.onnx")]);
    home.ok(&["listings", "--split", "train", "-o", &path("train.csv")]);
    home.ok(&["listings", "--split", "test", "-o", &path("test.csv")]);
    run(&home, "train.py", &["champion.onnx", "train.csv", "lightgbm.onnx"]);
    assert!(home.ok(&["models", "import", &path("lightgbm.onnx")]).contains("version 2 is registered"));

    let shown: serde_json::Value = serde_json::from_str(&home.ok(&["models", "show", "2", "--json"])).unwrap();
    let accuracy = &shown["accuracy"];
    assert!(shown["run"].is_null() && accuracy["mape"].as_f64().unwrap() < 0.25, "{accuracy}");
    let coverage = accuracy["coverage_80"].as_f64().unwrap();
    assert!((0.7..0.92).contains(&coverage), "{coverage}");

    // The registered file gives the same prices in another runtime.
    home.ok(&["models", "promote", "2"]);
    home.ok(&["models", "export", "champion", "-o", &path("registered.onnx")]);
    home.ok(&["predict", &path("test.csv"), "-o", &path("valued.csv"), "--allow-unknown"]);
    let valued = std::fs::read_to_string(home.path("valued.csv")).unwrap();
    let mut lines = valued.lines();
    let column = lines.next().unwrap().split(',').position(|name| name == "predict_value").unwrap();
    let served: Vec<f64> = lines.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    let prices = run(&home, "predict.py", &["registered.onnx", "test.csv"]);
    let prices: Vec<f64> = prices.lines().map(|line| line.parse().unwrap()).collect();
    assert!(served.len() == prices.len() && served.len() > 100, "{} and {}", served.len(), prices.len());
    for (served, price) in served.iter().zip(&prices) {
        // The table has whole units.
        assert!((served - price).abs() <= 1e-5 * price + 0.5, "{served} and {price}");
    }
    // So does the file of LightGBM, apart from the ratio of the median.
    let original = run(&home, "predict.py", &["lightgbm.onnx", "test.csv"]);
    let original: Vec<f64> = original.lines().map(|line| line.parse().unwrap()).collect();
    let ratio = prices[0] / original[0];
    for (price, original) in prices.iter().zip(&original) {
        assert!((price / original / ratio - 1.0).abs() < 1e-5, "{price} and {original}");
    }

    home.ok(&["models", "rollback"]);
    assert!(home.ok(&["models", "show", "champion"]).contains("model version 1"));
    let error = home.fails(1, &["models", "import", &path("train.csv")]);
    assert!(error.contains("train.csv was not registered"), "{error}");
}
