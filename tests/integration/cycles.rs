//! Detects import cycles between the files of a crate.
//!
//! Paths are parsed from the source text without tests, and resolved through modules and re-exports to the file that
//! defines a name. Naming a module does not count as an import, nor does a re-export that the file itself does not use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The source folders of all crates.
const SOURCES: &[&str] = &[
    "domain/src",
    "files/src",
    "mlflow/src",
    "onnx/export/src",
    "onnx/model/src",
    "plot/src",
    "postgres/src",
    "report/src",
    "server/src",
    "src",
    "storage/src",
    "tables/src",
    "training/src",
];

/// The path of a module from the root of its crate.
type Module = Vec<String>;

#[test]
fn there_are_no_import_cycles() {
    for folder in SOURCES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut texts = BTreeMap::new();
        read_folder(&folder, &folder, &mut texts);
        assert!(!texts.is_empty(), "{} has no sources", folder.display());
        let cycles = find_cycles(&texts);
        assert!(cycles.is_empty(), "cycles in {}:{}", folder.display(), describe(&cycles));
    }
}

fn describe(cycles: &[BTreeMap<PathBuf, BTreeSet<PathBuf>>]) -> String {
    let import = |(file, imported): (&PathBuf, &BTreeSet<PathBuf>)| {
        let imported: Vec<_> = imported.iter().map(|file| file.display().to_string()).collect();
        format!("\n  {} imports {}", file.display(), imported.join(", "))
    };
    let cycle =
        |cycle: &BTreeMap<_, _>| format!("\n{} files:", cycle.len()) + &cycle.iter().map(import).collect::<String>();
    cycles.iter().map(cycle).collect()
}

fn read_folder(root: &Path, folder: &Path, texts: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Finds the import cycles among files, given by their paths in the source folder. Each cycle maps its files to the files
/// of the cycle that they import.
fn find_cycles(texts: &BTreeMap<PathBuf, String>) -> Vec<BTreeMap<PathBuf, BTreeSet<PathBuf>>> {
    let sources: BTreeMap<Module, Source> =
        texts.iter().map(|(file, text)| (module_of(file), Source::parse(file, text))).collect();
    let test_modules: BTreeSet<Module> =
        sources.iter().flat_map(|(module, source)| source.tests.iter().map(|name| child(module, name))).collect();
    let sources: BTreeMap<_, _> =
        sources.into_iter().filter(|(module, _)| !test_modules.iter().any(|test| module.starts_with(test))).collect();
    let tree = Tree(sources);
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        tree.0.keys().map(|module| (module, tree.imports(module))).collect();
    let reachable: BTreeMap<&Module, BTreeSet<Module>> =
        tree.0.keys().map(|module| (module, transitive_imports(&imports, module))).collect();
    let mut cycles = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, others) in &reachable {
        let cycle: BTreeSet<&Module> = others.iter().filter(|other| reachable[other].contains(*module)).collect();
        if cycle.is_empty() || !seen.insert(cycle.clone()) {
            continue;
        }
        let file = |module: &Module| tree.0[module].file.clone();
        let within = |module: &Module| imports[module].iter().filter(|other| cycle.contains(other)).map(file).collect();
        cycles.push(cycle.iter().map(|module| (file(module), within(module))).collect());
    }
    cycles
}

/// All direct and indirect imports of a module.
fn transitive_imports(imports: &BTreeMap<&Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = pending.pop() {
        if reached.insert(module.clone()) {
            pending.extend(&imports[module]);
        }
    }
    reached
}

fn module_of(file: &Path) -> Module {
    let mut module: Module = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| name == "mod")
        || ["lib", "main"].map(|root| vec![root.to_owned()]).contains(&module)
    {
        module.pop();
    }
    module
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// A path in the source text, and the name under which it is imported.
#[derive(Clone, Debug)]
struct ImportPath {
    segments: Vec<String>,
    alias: String,
}

/// The imports and exports of a file.
struct Source {
    file: PathBuf,
    /// Test-only modules.
    tests: Vec<String>,
    /// All paths except re-exports.
    paths: Vec<ImportPath>,
    /// Paths imported by `use`.
    imported: Vec<ImportPath>,
    /// Paths re-exported by `pub use`, and whether the file itself uses them.
    exported: Vec<(ImportPath, bool)>,
}

impl Source {
    fn parse(file: &Path, text: &str) -> Self {
        let (tokens, tests) = strip_tests(&tokenize(text));
        let (mut paths, mut imported, mut exported) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let is_start = is_name(&tokens[at]) && (at == 0 || !["::", "."].contains(&tokens[at - 1].as_str()));
            if tokens[at] == "use" {
                let is_public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                let parsed = parse_use_tree(&tokens, &mut { at + 1 }, &[]);
                at = tokens[at..].iter().position(|token| token == ";").map_or(tokens.len(), |end| at + end);
                if is_public {
                    exported.extend(parsed);
                } else {
                    paths.extend(parsed.clone());
                    imported.extend(parsed);
                }
            } else if is_start && tokens.get(at + 1).is_some_and(|next| next == "::") {
                paths.extend(parse_use_tree(&tokens, &mut { at }, &[]));
            }
            at += 1;
        }
        let is_used = |name: &str| tokens.iter().filter(|token| *token == name).count() > 1;
        let exported = exported.into_iter().map(|path| (path.clone(), is_used(&path.alias))).collect();
        Self { file: file.to_owned(), tests, paths, imported, exported }
    }
}

/// Parses `a::b::{c, d as e}` at a position.
fn parse_use_tree(tokens: &[String], at: &mut usize, prefix: &[String]) -> Vec<ImportPath> {
    let mut segments = prefix.to_vec();
    let mut found = Vec::new();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        if token == "{" {
            while tokens.get(*at).is_some_and(|token| token != "}") {
                found.extend(parse_use_tree(tokens, at, &segments));
                if tokens.get(*at).is_some_and(|token| token == ",") {
                    *at += 1;
                }
            }
            *at += 1;
            return found;
        }
        if token == "*" {
            return vec![ImportPath { alias: String::new(), segments }];
        }
        if !is_name(token) {
            *at -= 1;
            break;
        }
        if token != "self" || segments.is_empty() {
            segments.push(token.clone());
        }
        if tokens.get(*at).is_none_or(|next| next != "::") {
            break;
        }
        *at += 1;
    }
    let mut alias = segments.last().cloned().unwrap_or_default();
    if tokens.get(*at).is_some_and(|token| token == "as") {
        alias = tokens.get(*at + 1).cloned().unwrap_or_default();
        *at += 2;
    }
    // Always advance, or invalid input would loop forever.
    if segments.len() == prefix.len() && !tokens.get(*at).is_some_and(|token| [",", "}"].contains(&token.as_str())) {
        *at += 1;
    }
    vec![ImportPath { segments, alias }]
}

/// The files of a crate by module.
struct Tree(BTreeMap<Module, Source>);

/// The target of a path.
enum Target {
    Module(Module),
    /// An item in the file of a module.
    Item(Module),
}

impl Tree {
    /// The modules that a module imports items from.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let source = &self.0[module];
        let used = source.exported.iter().filter(|(_, is_used)| *is_used).map(|(path, _)| path);
        let targets = source.paths.iter().chain(used).filter_map(|path| self.resolve(module, &path.segments, 0));
        let files = targets.filter_map(|target| match target {
            Target::Item(file) => Some(file),
            Target::Module(_) => None,
        });
        files.filter(|file| file != module).collect()
    }

    /// Resolves a path in a module; `None` if it leads out of the crate.
    fn resolve(&self, module: &Module, segments: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = segments.split_first()?;
        let start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => {
                let above = module.split_last()?.1.to_vec();
                let has_more = rest.first().is_some_and(|next| next == "super");
                return if has_more { self.resolve(&above, rest, depth) } else { self.descend(above, rest, depth) };
            }
            name if self.0.contains_key(&child(module, name)) => child(module, name),
            name => {
                let source = &self.0[module];
                let is_named = |path: &&ImportPath| path.alias == name && path.segments != segments;
                let path = source.imported.iter().find(is_named).filter(|_| depth < 8)?;
                let Target::Module(named) = self.resolve(module, &path.segments, depth + 1)? else { return None };
                named
            }
        };
        self.descend(start, rest, depth)
    }

    fn descend(&self, mut module: Module, segments: &[String], depth: usize) -> Option<Target> {
        for (index, name) in segments.iter().enumerate() {
            let below = child(&module, name);
            if self.0.contains_key(&below) {
                module = below;
                continue;
            }
            let exported = self.0.get(&module)?.exported.iter().find(|(path, _)| path.alias == *name);
            let Some((path, _)) = exported.filter(|_| depth < 8) else { return Some(Target::Item(module)) };
            return match self.resolve(&module, &path.segments, depth + 1) {
                Some(Target::Module(named)) => self.descend(named, &segments[index + 1..], depth + 1),
                Some(item) => Some(item),
                // A re-export of another crate.
                None => Some(Target::Item(module)),
            };
        }
        Some(Target::Module(module))
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Splits source text into names, `::` and punctuation, without comments and literals.
fn tokenize(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let is_word = |character: &char| character.is_alphanumeric() || *character == '_';
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&character) = characters.get(at) {
        let rest = &characters[at..];
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().position(|character| *character == '\n').unwrap_or(rest.len());
        } else if rest.starts_with(&['/', '*']) {
            at += rest.windows(2).position(|end| end == ['*', '/']).map_or(rest.len(), |end| end + 2);
        } else if character == '"' {
            at += string_length(rest);
        } else if let Some(length) = raw_string_length(rest) {
            at += length;
        } else if character == '\'' {
            at += quoted_length(rest);
        } else if is_word(&character) {
            let word: String = rest.iter().take_while(|character| is_word(character)).collect();
            at += word.chars().count();
            tokens.push(word);
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !character.is_whitespace() {
                tokens.push(character.to_string());
            }
            at += 1;
        }
    }
    tokens
}

fn string_length(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Raw strings, such as `r"…"` and `br#"…"#`.
fn raw_string_length(text: &[char]) -> Option<usize> {
    let start = text.iter().take(2).take_while(|character| ['b', 'r'].contains(*character)).count();
    if start == 0 || text[start - 1] != 'r' {
        return None;
    }
    let marks = text[start..].iter().take_while(|character| **character == '#').count();
    if text.get(start + marks) != Some(&'"') {
        return None;
    }
    let mut end = vec!['#'; marks + 1];
    end[0] = '"';
    let inside = &text[start + marks + 1..];
    let length = inside.windows(end.len()).position(|window| window == end)?;
    Some(start + marks + 1 + length + end.len())
}

/// A character literal, or only the quote of a lifetime.
fn quoted_length(text: &[char]) -> usize {
    match text {
        ['\'', '\\', ..] => text[3.min(text.len())..].iter().position(|end| *end == '\'').map_or(1, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Removes test-only items; also returns the names of test-only module files.
fn strip_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut tests, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(TEST.len()).eq(TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += TEST.len();
        let item = &tokens[at..];
        let end = item.iter().position(|token| token == ";" || token == "{").unwrap_or(item.len());
        let is_file = item.get(end).is_some_and(|token| token == ";");
        if let Some(name) = item[..end].iter().position(|token| token == "mod").filter(|_| is_file) {
            tests.push(item[name + 1].clone());
        }
        at += if is_file { end + 1 } else { end + block_length(&item[end..]) };
    }
    (kept, tests)
}

fn block_length(tokens: &[String]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return index + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

mod tests {
    use super::{BTreeMap, PathBuf, find_cycles};

    /// The cycles of a fictitious crate, each as a list of file names.
    fn cycles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let texts: BTreeMap<PathBuf, String> = files.iter().map(|(file, text)| (file.into(), (*text).into())).collect();
        let name = |file: &PathBuf| file.display().to_string();
        find_cycles(&texts).iter().map(|cycle| cycle.keys().map(name).collect()).collect()
    }

    #[test]
    fn cycles_are_found_through_modules_braces_and_re_exports() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::Alpha;"),
            ("a.rs", "use crate::{b::{self, Beta}, c::Gamma}; pub struct Alpha;"),
            ("b.rs", "mod deep; pub use deep::Beta;"),
            ("b/deep.rs", "use super::super::c; pub struct Beta; fn f() { c::inner::g(); }"),
            ("c.rs", "pub mod inner; pub struct Gamma;"),
            ("c/inner.rs", "pub fn g() -> crate::Alpha { crate::Alpha }"),
        ];
        assert_eq!(cycles(&files), [["a.rs", "b/deep.rs", "c/inner.rs"]]);
    }

    #[test]
    fn a_parent_and_child_can_form_a_cycle() {
        let files = [
            ("main.rs", "mod parent;"),
            ("parent.rs", "mod child; pub(crate) use child::Child; struct Parent(Child);"),
            ("parent/child.rs", "use super::Parent as P; pub struct Child;"),
        ];
        assert_eq!(cycles(&files), [["parent/child.rs", "parent.rs"]]);
    }

    #[test]
    fn tests_comments_literals_and_module_names_are_not_imports() {
        let files = [
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests; pub use b::B;"),
            (
                "a.rs",
                "use crate::b; // use crate::b::B;\n const TEXT: &str = \"crate::b::B\"; const RAW: &str = r#\"crate::B\"#;
                 const QUOTE: char = '\"'; pub struct A<'a>(&'a ()); #[cfg(test)] mod tests { use crate::b::B; fn f() {} }",
            ),
            ("b.rs", "use crate::a::A; pub struct B; #[cfg(test)] #[allow(unused)] use crate::tests::Fixture;"),
            ("tests.rs", "use crate::{a::A, b::B}; pub struct Fixture;"),
        ];
        assert!(cycles(&files).is_empty(), "{:?}", cycles(&files));
    }
}
