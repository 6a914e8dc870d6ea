//! A model of another program, from the listings to its prices.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::market::{Home, SMALL, Server, block_on, python, rio};

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
    let from_table: Vec<f64> = lines.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    let prices = run(&home, "predict.py", &["registered.onnx", "test.csv"]);
    let prices: Vec<f64> = prices.lines().map(|line| line.parse().unwrap()).collect();
    assert!(from_table.len() == prices.len() && prices.len() > 100, "{} and {}", from_table.len(), prices.len());
    for (valued, price) in from_table.iter().zip(&prices) {
        // The table has whole units.
        assert!((valued - price).abs() <= 1e-5 * price + 0.5, "{valued} and {price}");
    }
    // So does the file of LightGBM, apart from the ratio of the median.
    let original = run(&home, "predict.py", &["lightgbm.onnx", "test.csv"]);
    let original: Vec<f64> = original.lines().map(|line| line.parse().unwrap()).collect();
    let ratio = prices[0] / original[0];
    for (price, original) in prices.iter().zip(&original) {
        assert!((price / original / ratio - 1.0).abs() < 1e-5, "{price} and {original}");
    }

    let server = Server::start(&home);
    let valued: serde_json::Value = block_on(async {
        reqwest::Client::new().post(server.url("/v1/valuations")).json(&rio()).send().await?.json().await
    })
    .unwrap();
    assert_eq!(valued["model"]["version"], 2, "{valued}");
    assert!(valued["low"].as_f64() < valued["price"].as_f64() && valued["price"].as_f64() < valued["high"].as_f64());
    drop(server);

    home.ok(&["models", "rollback"]);
    assert!(home.ok(&["models", "show", "champion"]).contains("model version 1"));

    // A model of the logarithm is refused, and nothing is registered.
    let without_exp = "import onnx, sys; model = onnx.load(sys.argv[1]); model.graph.node[-1].op_type = 'Identity'; \
                       onnx.save(model, sys.argv[2])";
    let files = [path("lightgbm.onnx"), path("logarithm.onnx")];
    assert!(Command::new(python()).args(["-c", without_exp]).args(&files).status().unwrap().success());
    assert!(home.fails(1, &["models", "import", &files[1]]).contains("needs an Exp at its end"));
    let versions: serde_json::Value = serde_json::from_str(&home.ok(&["models", "list", "--json"])).unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 2);
    let error = home.fails(1, &["models", "import", &path("train.csv")]);
    assert!(error.contains("train.csv was not registered"), "{error}");
}
