//! Invalid input yields a helpful message and the right exit code.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::market::{Home, trained};

#[test]
fn invalid_tables_are_rejected() {
    let home = Home::new();
    let cases: [(&str, &[u8], &[&str]); 7] = [
        ("empty.csv", b"", &["empty"]),
        ("header.csv", b"brand,year,mileage,price\n", &["no rows below its header"]),
        ("no-mileage.csv", b"brand,year,price\nKia,2018,1350000\n", &["mileage", "пробег"]),
        ("fake.xlsx", b"brand,year,mileage,price\nKia,2018,1,2\n", &["not an Excel workbook"]),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &["picture.csv"]),
        (
            "cp1251.csv",
            b"\xec\xe0\xf0\xea\xe0,year,mileage,price\n\xd2\xee\xe9\xee\xf2\xe0,2018,1,2\n",
            &["windows-1251"],
        ),
        ("all-bad.csv", b"brand,year,mileage,price\nKia,1,2,3\n", &["row 2", "year must be between 1900"]),
    ];
    for (name, content, expected) in cases {
        let file = home.write(name, content);
        let error = home.fails(1, &["import", &file]);
        for words in expected {
            assert!(error.to_lowercase().contains(&words.to_lowercase()), "{name}: {error}");
        }
    }
    let file = home.path("cp1251.csv");
    assert!(home.ok(&["import", file.to_str().unwrap(), "--encoding", "windows-1251"]).contains("1 added"));
}

#[test]
fn wrong_usage_and_missing_objects_are_reported() {
    let home = Home::new();
    assert!(home.fails(2, &["import"]).contains("FILES"));
    assert!(home.fails(2, &["no-such-command"]).contains("no-such-command"));
    assert!(home.fails(1, &["import", "absent.csv"]).contains("does not exist"));
    assert!(home.fails(1, &["train", "--set", "epoch=3"]).contains("unknown field"));
    assert!(home.fails(1, &["evaluate"]).contains("probeg train --promote"));
    assert!(home.fails(1, &["models", "show", "7"]).contains("there is no model"));
}

#[test]
fn training_requires_more_than_three_rows() {
    let home = Home::new();
    let file = home.write("three.csv", "brand,year,mileage,price\nKia,2018,1,2\nKia,2018,2,3\nKia,2018,3,4\n");
    home.ok(&["import", &file]);
    let error = home.fails(1, &["train"]);
    assert!(error.contains("too few listings"), "{error}");
    assert!(home.ok(&["runs", "list"]).contains("failed"));
    assert!(!home.ok(&["models", "list"]).contains("KB"), "nothing is registered");
}

#[test]
fn errors_name_the_database_without_its_password() {
    let home = Home::new();
    let output = home
        .command(&["models", "list"])
        .env("DATABASE_URL", "postgres://probeg:s3cret@127.0.0.1:9/probeg")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("127.0.0.1") && error.contains("DATABASE_URL"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_broken_pipe_is_not_an_error() {
    let home = trained();
    let cars = home.write("read-in-part.csv", "brand,year,mileage\nKia,2018,83000\n");
    let commands: [&[&str]; 9] = [
        &["openapi"],
        &["--help"],
        &["models", "list"],
        &["models", "show", "champion", "--json"],
        &["runs", "list", "--json"],
        &["evaluate", "--json"],
        &["explore", "--json", "--out", "read-in-part.html"],
        &["predict", &cars, "-o", "/dev/stdout"],
        &["models", "export", "champion", "-o", "/dev/stdout"],
    ];
    for arguments in commands {
        let mut process = home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !error.contains("anic"), "{arguments:?}: {error}");
        // The same with standard error closed.
        let mut process = home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stderr.take());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn only_the_table_is_written_to_standard_output() {
    let home = trained();
    let cars = home.write("cars-out.csv", "Марка,Год,Пробег,Цена,Стоимость\nKia,2018,83000,5,a\n");
    let output = home.run(&["predict", &cars, "-o", "/dev/stdout"]);
    let (table, messages) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(table.starts_with("Марка,Год,Пробег,Цена,Стоимость,predict_value,"), "{table}{messages}");
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(messages.contains("/dev/stdout: 1 of 1 rows valued"), "{messages}");

    // Redirected into a file, it must not be replaced by a temporary file.
    let file = std::fs::File::create(home.path("redirected.csv")).unwrap();
    let status =
        home.command(&["predict", &cars, "-o", "/dev/stdout"]).stdout(file).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(home.path("redirected.csv")).unwrap(), table);
    assert!(std::fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

#[test]
fn rows_of_unknown_makes_are_valued_only_on_request() {
    let home = trained();
    let cars = home.write("makes.csv", "brand,year,mileage\nKia,2018,83000\nKiaa,2018,83000\n");
    let valued = home.path("makes-valued.csv");
    let predict = |options: &[&str]| {
        home.ok(&[&["predict", &cars, "-o", valued.to_str().unwrap()], options].concat());
        std::fs::read_to_string(&valued).unwrap().lines().last().unwrap().to_owned()
    };
    assert_eq!(predict(&[]), "Kiaa,2018,83000,,,,\"brand \"\"Kiaa\"\" is not known (did you mean \"\"kia\"\"?)\"");
    let allowed = predict(&["--allow-unknown"]);
    assert!(allowed.contains("\"ok: brand \"\"kiaa\"\" is not known"), "{allowed}");
}

#[test]
fn invalid_variables_prevent_the_start() {
    let home = Home::new();
    let not_text = OsStr::from_bytes(b"key\xff");
    for (variable, value, expected) in [
        ("PROBEG_API_KEYS", OsStr::new(","), "PROBEG_API_KEYS is an empty list"),
        ("PROBEG_API_KEYS", OsStr::new(" "), "PROBEG_API_KEYS is blank"),
        ("PROBEG_API_KEYS", not_text, "PROBEG_API_KEYS is not valid UTF-8"),
        ("PROBEG_ADMIN_TOKEN", not_text, "PROBEG_ADMIN_TOKEN is not valid UTF-8"),
        ("PROBEG_BIND", not_text, "PROBEG_BIND is not valid UTF-8"),
        ("DATABASE_URL", not_text, "DATABASE_URL is not valid UTF-8"),
        ("PROBEG_HOME", not_text, "PROBEG_HOME is not valid UTF-8"),
        ("RUST_LOG", not_text, "RUST_LOG is not valid UTF-8"),
        ("PROBEG_LOG", OsStr::new("xml"), "PROBEG_LOG=xml: expected text or json"),
    ] {
        let output = home.command(&["serve", "--bind", "127.0.0.1:0"]).env(variable, value).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{variable}: {error}");
        assert!(error.contains(expected) && !error.contains("key"), "{error}");
    }
    assert!(!home.path("home").exists(), "nothing was created");
}

#[test]
fn links_in_place_of_database_files_are_not_followed() {
    for name in ["postgresql.log", "cluster.users.lock", "cluster.gate.lock", "cluster"] {
        let home = Home::new();
        std::fs::create_dir(home.path("home")).unwrap();
        let target = home.path("target");
        symlink(&target, home.path("home").join(name)).unwrap();
        let error = home.fails(1, &["models", "list"]);
        assert!(error.contains(name), "{error}");
        assert!(!target.exists(), "{name} was followed");
    }
}
