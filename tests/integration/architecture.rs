//! Enforces the invariants of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All dependencies of a workspace crate, except development dependencies.
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

fn workspace_dependencies(package: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter(|line| line.contains("{ path = "));
    let members: BTreeSet<&str> = paths.filter_map(|line| line.split(' ').next()).collect();
    dependencies(package).into_iter().filter(|name| members.contains(name.as_str()) && name != package).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn workspace_dependencies_are_as_documented() {
    assert_eq!(workspace_dependencies("domain"), set(&[]));
    assert_eq!(workspace_dependencies("files"), set(&[]));
    assert_eq!(workspace_dependencies("postgres"), set(&[]));
    assert_eq!(workspace_dependencies("onnx-export"), set(&[]));
    assert_eq!(workspace_dependencies("storage"), set(&["domain", "files"]));
    assert_eq!(workspace_dependencies("tables"), set(&["domain", "files"]));
    assert_eq!(workspace_dependencies("onnx-model"), set(&["domain"]));
    assert_eq!(workspace_dependencies("plot"), set(&[]));
    assert_eq!(workspace_dependencies("report"), set(&["domain", "files", "plot", "storage"]));
    assert_eq!(workspace_dependencies("mlflow"), set(&["domain", "files", "storage"]));
    assert_eq!(
        workspace_dependencies("server"),
        set(&["domain", "files", "onnx-model", "plot", "report", "storage", "tables"])
    );
    assert_eq!(
        workspace_dependencies("training"),
        set(&["domain", "files", "onnx-export", "onnx-model", "storage", "tables"])
    );
}

#[test]
fn the_server_does_not_depend_on_burn_nor_the_domain_on_io() {
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
fn sql_is_confined_to_storage() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Tests query the database as its users do.
    let exempt = [root.join("storage"), root.join("tests")];
    let statements = ["SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE"];
    for file in source_files(root).into_iter().filter(|file| !exempt.iter().any(|folder| file.starts_with(folder))) {
        let text = std::fs::read_to_string(&file).unwrap();
        for statement in statements {
            assert!(!text.contains(statement), "{} contains SQL: {statement}", file.display());
        }
    }
}

#[test]
fn arrow2_is_confined_to_storage_and_its_unsound_row_format_unused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in source_files(root) {
        let text = std::fs::read_to_string(&file).unwrap();
        let call = ["row", "_unchecked"].concat();
        assert!(!text.contains(&format!("{call}(")), "{}", file.display());
        let uses = ["use ", "arrow2"].concat();
        assert!(file.starts_with(root.join("storage")) || !text.contains(&uses), "{}", file.display());
    }
}

#[test]
fn every_dependency_has_a_comment() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[workspace.dependencies]").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let mut has_comment = false;
    for line in dependencies.lines() {
        if line.starts_with('#') {
            has_comment = true;
        } else if line.is_empty() {
            has_comment = false;
        } else {
            assert!(has_comment || line.contains("path = "), "{line} has no comment");
        }
    }
}
