//! Model versions, the champion and its history on the command line.

use crate::market::{Home, SMALL, wait_for_epochs};

#[test]
fn versions_are_trained_promoted_and_rolled_back() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "1500"]);
    home.ok(&[&["train", "--promote"], SMALL.as_slice()].concat());
    home.ok(&[&["train", "--set=seed=1"], SMALL.as_slice()].concat());
    let list = home.ok(&["models", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[1]["aliases"][0], "champion");
    assert_ne!(list[0]["sha256"], list[1]["sha256"]);
    assert!(list[0]["accuracy"]["mape"].as_f64().unwrap() > 0.0);

    let file = home.path("exported.onnx");
    home.ok(&["models", "export", "1", "-o", file.to_str().unwrap()]);
    assert!(home.ok(&["models", "import", file.to_str().unwrap()]).contains("version 3 is registered"));
    let shown = ["1", "3"].map(|version| home.ok(&["models", "show", version]));
    assert!(shown[0].contains(", run 1, SHA-256 ") && shown[1].contains(", imported, SHA-256 "), "{shown:?}");
    let bytes = std::fs::read(&file).unwrap();
    let golden = bytes.windows(17).position(|window| window == b"\"price_quantiles\"").unwrap();
    let mut changed = bytes.clone();
    let digit = golden + 17 + changed[golden + 17..].iter().position(u8::is_ascii_digit).unwrap();
    changed[digit] = if changed[digit] == b'9' { b'1' } else { b'9' };
    let changed = home.write("changed.onnx", changed);
    assert!(home.fails(1, &["models", "import", &changed]).contains("its prices differ"));
    let cut = home.write("cut.onnx", &bytes[..bytes.len() / 2]);
    assert!(home.fails(1, &["models", "import", &cut]).contains("cut.onnx"));
    // A sparse file of four gigabytes, which must not be read.
    let large = home.write("large.onnx", b"");
    std::fs::File::options().write(true).open(&large).unwrap().set_len(4 << 30).unwrap();
    assert!(home.fails(1, &["models", "import", &large]).contains("4294967296 bytes"));
    assert!(home.fails(1, &["models", "import", "/dev/zero"]).contains("not a file"));

    home.ok(&["models", "promote", "2"]);
    assert!(home.ok(&["models", "show", "champion"]).contains("model version 2"));
    home.ok(&["models", "rollback"]);
    assert!(home.ok(&["models", "show", "champion"]).contains("model version 1"));
    let history: serde_json::Value = serde_json::from_str(&home.ok(&["models", "history", "--json"])).unwrap();
    let actions: Vec<_> = history.as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["rollback", "promote", "promote"]);
    assert!(home.fails(1, &["models", "rollback"]).contains("nothing to roll back to"));

    let runs: serde_json::Value = serde_json::from_str(&home.ok(&["runs", "list", "--json"])).unwrap();
    assert_eq!(runs[0]["status"], "completed");
    assert_eq!(runs[0]["model_version"], 2);
    let compared = home.ok(&["runs", "compare", "1", "2"]);
    assert!(compared.contains("seed: 0 | 1"), "{compared}");
    assert!(compared.contains("  mape: "), "{compared}");

    assert!(runs[0]["metrics"]["mape"].is_f64() && runs[0]["metrics"]["validation_loss"].is_f64(), "{}", runs[0]);
    assert!(runs[0]["program"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")));
    assert_eq!(runs[0]["data"], runs[1]["data"], "both learned from the same listings");
    assert!(runs[0]["data"]["rows"].as_u64().unwrap() > 0);
    home.ok(&["runs", "edit", "1", "--name", "first", "--tag", "keep", "--tag", "draft", "--note", "a note"]);
    home.ok(&["runs", "edit", "1", "--untag", "draft"]);
    let tagged: serde_json::Value =
        serde_json::from_str(&home.ok(&["runs", "list", "--tag", "keep", "--sort", "mape", "--json"])).unwrap();
    assert_eq!(
        (&tagged[0]["run"], &tagged[0]["name"], &tagged[0]["notes"]),
        (&1.into(), &"first".into(), &"a note".into())
    );
    assert_eq!((tagged.as_array().unwrap().len(), &tagged[0]["tags"]), (1, &serde_json::json!(["keep"])));
    assert!(home.fails(1, &["runs", "edit", "99", "--tag", "keep"]).contains("no run 99"));
    assert!(home.fails(2, &["runs", "list", "--sort", "beauty"]).contains("validation_loss"));

    let served: serde_json::Value = serde_json::from_str(&home.ok(&["models", "served", "--json"])).unwrap();
    assert_eq!((&served["model"]["version"], &served["run"]["name"]), (&1.into(), &"first".into()));
    let entries = history.as_array().unwrap();
    let at = entries[1]["at"].as_str().unwrap();
    let before = home.ok(&["models", "served", "--at", at]);
    assert!(
        before.contains("version 2") && before.contains("trained by run 2") && before.contains("settings: "),
        "{before}"
    );
    assert!(home.fails(1, &["models", "served", "--at", "2020-01-01 00:00"]).contains("no version"));
    assert!(home.fails(2, &["models", "served", "--at", "Tuesday"]).contains("UTC"));
}

#[test]
fn runs_with_the_same_seed_are_identical() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "800"]);
    let figures = |_| {
        let output = home.ok(&[&["train", "--json"], SMALL.as_slice()].concat());
        let result: serde_json::Value = serde_json::from_str(&output).unwrap();
        result["accuracy"]["mape"].as_f64().unwrap().to_bits()
    };
    assert_eq!(figures(1), figures(2));
}

#[test]
fn a_killed_training_run_registers_no_model() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "4000"]);
    let longer = ["--set=patience=500", "--set=epochs=500"];
    let mut training = home.command(&[&["train"], SMALL.as_slice(), &longer].concat()).spawn().unwrap();
    wait_for_epochs(&home, "1", 2);
    training.kill().unwrap();
    assert!(!training.wait().unwrap().success(), "the run was not killed");
    assert_eq!(home.ok(&["models", "list", "--json"]).trim(), "[]");
    home.ok(&[&["train", "--promote"], SMALL.as_slice()].concat());
    let champion: serde_json::Value =
        serde_json::from_str(&home.ok(&["models", "show", "champion", "--json"])).unwrap();
    assert_eq!(champion["run"], 2);
}
