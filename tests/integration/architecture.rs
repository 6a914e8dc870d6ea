//! The invariants of ARCHITECTURE.md, each an absence.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that a crate of ours is compiled from, tests aside.
fn dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn ours(package: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter(|line| line.contains("{ path = "));
    let ours: BTreeSet<&str> = paths.filter_map(|line| line.split(' ').next()).collect();
    dependencies(package).into_iter().filter(|name| ours.contains(name.as_str()) && name != package).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn dependencies_point_one_way() {
    assert_eq!(ours("domain"), set(&[]));
    assert_eq!(ours("files"), set(&[]));
    assert_eq!(ours("postgres"), set(&[]));
    assert_eq!(ours("onnx-export"), set(&[]));
    assert_eq!(ours("storage"), set(&["domain", "files"]));
    assert_eq!(ours("tables"), set(&["domain", "files"]));
    assert_eq!(ours("onnx-model"), set(&["domain"]));
    assert_eq!(ours("plot"), set(&[]));
    assert_eq!(ours("report"), set(&["domain", "files", "plot", "storage"]));
    assert_eq!(ours("server"), set(&["domain", "files", "onnx-model", "storage", "tables"]));
    assert_eq!(ours("training"), set(&["domain", "files", "onnx-export", "onnx-model", "storage", "tables"]));
}

#[test]
fn the_server_is_free_of_burn_and_the_domain_of_everything_that_acts() {
    let has = |package: &str, name: &str| dependencies(package).iter().any(|other| other.starts_with(name));
    assert!(!has("server", "burn"));
    assert!(!has("onnx-model", "burn"));
    assert!(!has("report", "burn"));
    for name in ["tokio", "sqlx", "burn", "ort", "axum"] {
        assert!(!dependencies("domain").contains(name), "domain depends on {name}");
        assert!(!dependencies("postgres").contains(name), "postgres depends on {name}");
    }
}

#[test]
fn sql_stands_in_storage_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let storage = root.join("storage");
    // Put together here, so that this file does not find itself.
    let statements =
        [["SELECT", " "], ["INSERT", " INTO"], ["DELETE", " FROM"], ["CREATE", " TABLE"]].map(|parts| parts.concat());
    for file in sources(root).into_iter().filter(|file| !file.starts_with(&storage)) {
        let text = std::fs::read_to_string(&file).unwrap();
        for statement in &statements {
            assert!(!text.contains(statement.as_str()), "{} holds SQL: {statement}", file.display());
        }
    }
}

#[test]
fn arrow2_and_its_unsound_row_format_stay_behind_one_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in sources(root) {
        let text = std::fs::read_to_string(&file).unwrap();
        let call = ["row", "_unchecked"].concat();
        assert!(!text.contains(&format!("{call}(")), "{}", file.display());
        let uses = ["use ", "arrow2"].concat();
        assert!(file.starts_with(root.join("storage")) || !text.contains(&uses), "{}", file.display());
    }
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[workspace.dependencies]").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let mut explained = false;
    for line in dependencies.lines() {
        if line.starts_with('#') {
            explained = true;
        } else if line.is_empty() {
            explained = false;
        } else {
            assert!(explained || line.contains("path = "), "{line} has no comment");
        }
    }
}
