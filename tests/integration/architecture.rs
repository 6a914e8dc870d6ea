//! The invariants of ARCHITECTURE.md, each an absence.

use std::collections::{BTreeMap, BTreeSet};
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

/// Crates whose files form no circle.
const WITHOUT_CIRCLES: [&str; 5] = ["domain", "files", "plot", "postgres", "report"];

#[test]
fn no_file_imports_itself_through_others() {
    for package in WITHOUT_CIRCLES {
        let modules = Modules::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(package).join("src"));
        assert_eq!(modules.circle(), None, "files of {package} import each other in a circle");
    }
}

/// The modules of a crate by their path, and the text of each without comments and tests.
struct Modules(BTreeMap<Vec<String>, String>);

impl Modules {
    fn of(source: &Path) -> Self {
        let modules = sources(source).into_iter().map(|file| {
            let path = file.strip_prefix(source).unwrap().with_extension("");
            let mut name: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            name.retain(|part| part != "lib" && part != "main");
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
            (name, lines.collect::<Vec<_>>().join("\n"))
        });
        Self(modules.collect())
    }

    /// Modules that import each other, each the next and the last the first.
    fn circle(&self) -> Option<Vec<String>> {
        let imports: BTreeMap<_, _> = self.0.iter().map(|(name, text)| (name, self.imports(name, text))).collect();
        // Modules that import nothing that is left are no part of a circle.
        let mut left: BTreeSet<&Vec<String>> = self.0.keys().collect();
        while let Some(name) =
            left.iter().copied().find(|name| imports[name].iter().all(|imported| !left.contains(imported)))
        {
            left.remove(name);
        }
        let mut name = *left.first()?;
        let mut visited = Vec::new();
        while !visited.contains(&name) {
            visited.push(name);
            name = imports[name].iter().copied().find(|imported| left.contains(imported))?;
        }
        let start = visited.iter().position(|other| *other == name)?;
        Some(visited[start..].iter().map(|name| name.join("::")).collect())
    }

    /// The other modules that a module names.
    fn imports(&self, name: &[String], text: &str) -> BTreeSet<&Vec<String>> {
        let mut paths = Vec::new();
        for (place, _) in text.match_indices("::") {
            let before = &text[..place];
            let start =
                before.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(0, |end| end + 1);
            // Only the first part of a path.
            if start < place && !before[..start].ends_with(':') {
                collect_paths(&mut vec![before[start..].to_owned()], &text[place + 2..], &mut paths);
            }
        }
        let found = paths.iter().filter_map(|path| self.resolve(name, path));
        found.filter(|found| found.as_slice() != name).collect()
    }

    fn resolve(&self, name: &[String], path: &[String]) -> Option<&Vec<String>> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let (base, rest) = match path.first().map(String::as_str) {
            Some("crate") => (&name[..0], &path[1..]),
            Some("self") => (name, &path[1..]),
            Some("super") => (name.get(..name.len().checked_sub(ups)?)?, &path[ups..]),
            // A module below this one, or a name from elsewhere.
            Some(part) if self.0.contains_key(&[name, &[part.to_owned()]].concat()) => (name, path),
            _ => return None,
        };
        let longest = (0..=rest.len()).rev().map(|length| [base, &rest[..length]].concat());
        longest.filter_map(|found| self.0.get_key_value(&found)).map(|(found, _)| found).next()
    }
}

/// The paths that begin with `path` and go on with `rest`, as in `crate::{a::B, c}`. Returns how much of `rest` they are.
fn collect_paths(path: &mut Vec<String>, rest: &str, paths: &mut Vec<Vec<String>>) -> usize {
    let depth = path.len();
    let mut end = 0;
    if rest.starts_with('{') {
        end = 1;
        while !rest[end..].starts_with('}') && end < rest.len() {
            let gap = rest[end..].find(|letter: char| !letter.is_whitespace() && letter != ',').unwrap_or(0);
            end += gap;
            if !rest[end..].starts_with('}') {
                end += collect_paths(path, &rest[end..], paths).max(1);
            }
        }
        return end + 1;
    }
    loop {
        let word =
            rest[end..].find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest[end..].len());
        path.push(rest[end..end + word].to_owned());
        end += word;
        if !rest[end..].starts_with("::") {
            break;
        }
        end += 2;
        if rest[end..].starts_with('{') {
            end += collect_paths(path, &rest[end..], paths);
            path.truncate(depth);
            return end;
        }
    }
    paths.push(path.clone());
    path.truncate(depth);
    end
}
