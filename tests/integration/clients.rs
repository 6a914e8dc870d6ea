//! Clients that are generated from the OpenAPI document of a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rust_xlsxwriter::Workbook;

use crate::market::{Home, Server, block_on, python};
use crate::sweep::SWEEP;

const TOKEN: &str = "a-token-of-sixteen-characters";

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a program that must succeed; returns everything that it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `make test` sets it up"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {printed}");
    printed
}

/// A server with two champions, one after the other, so that a rollback is possible, and a sweep; with an admin token.
fn served() -> (Home, Server) {
    let home = Home::new();
    home.ok(&["synth", "--rows", "600"]);
    for seed in ["1", "2"] {
        let seed = format!("--set=seed={seed}");
        home.ok(&["train", "--promote", "--set=family=\"linear\"", "--set=backtest=false", &seed]);
    }
    home.write("space.toml", "[n_blocks]\nvalues = [1, 2]\n");
    home.ok(&[SWEEP.as_slice(), &["--trials=1"]].concat());
    let mut command = home.command(&["serve", "--bind", "127.0.0.1:0"]);
    let server = Server::from_process(command.env("PROBEG_ADMIN_TOKEN", TOKEN).stdout(Stdio::piped()).spawn().unwrap());
    server.wait_until_ready();
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, cells) in (0..).zip([["brand", "model", "year", "mileage"], ["Kia", "Rio", "2018", "83000"]]) {
        for (column, cell) in (0..).zip(cells) {
            sheet.write_string(row, column, cell).unwrap();
        }
    }
    home.write("cars.xlsx", workbook.save_to_buffer().unwrap());
    let document = block_on(async { reqwest::get(server.url("/openapi.json")).await?.bytes().await }).unwrap();
    home.write("openapi.json", document);
    (home, server)
}

#[test]
fn a_generated_python_client_calls_every_operation() {
    let (home, server) = served();
    let generator = python().with_file_name("openapi-python-client");
    let generated = run(Command::new(generator)
        .args(["generate", "--overwrite", "--path"])
        .arg(home.path("openapi.json"))
        .arg("--config")
        .arg(clients().join("config.yaml"))
        .arg("--output-path")
        .arg(home.path("python")));
    assert!(!generated.to_uppercase().contains("WARNING"), "{generated}");
    std::fs::copy(home.path("openapi.json"), home.path("python/openapi.json")).unwrap();
    let script = clients().join("python.py");
    let (folder, workbook) = (home.path("python"), home.path("cars.xlsx"));
    let printed = run(Command::new(python()).arg(script).arg(folder).args([&server.url(""), TOKEN]).arg(workbook));
    assert!(printed.contains("operations"), "{printed}");
}

#[test]
fn a_generated_typescript_client_is_type_safe_and_calls_every_operation() {
    let (home, server) = served();
    let folder = home.path("typescript");
    std::fs::create_dir(&folder).unwrap();
    for name in ["typescript.ts", "tsconfig.json", "package.json"] {
        std::fs::copy(clients().join(name), folder.join(name)).unwrap();
    }
    // Imports are resolved from the folder of the file.
    std::os::unix::fs::symlink(clients().join("node_modules"), folder.join("node_modules")).unwrap();
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.current_dir(&folder).arg(folder.join("node_modules").join(script));
        command
    };
    run(node("openapi-typescript/bin/cli.js").arg(home.path("openapi.json")).args(["--output", "schema.ts"]));
    run(node("typescript/bin/tsc").args(["--project", "."]));
    let compiled = folder.join("typescript.js");
    let mut command = Command::new("node");
    let printed = run(command.arg(compiled).args([&server.url(""), TOKEN]).arg(home.path("cars.xlsx")));
    assert!(printed.contains("operations"), "{printed}");
}
