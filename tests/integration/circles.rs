//! Circles between the files of a crate: files of which each imports, over others, itself. Whoever reads one of them
//! has to read them all.
//!
//! Paths are read from the text, tests left out, and followed through modules and re-exports to the file that a name
//! comes from. Naming a module is no import, and neither is a re-export that the file itself does not use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The sources of all crates.
const SOURCES: &[&str] = &[
    "domain/src",
    "files/src",
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
fn no_files_import_each_other_in_a_circle() {
    for folder in SOURCES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut texts = BTreeMap::new();
        read_folder(&folder, &folder, &mut texts);
        assert!(!texts.is_empty(), "{} has no sources", folder.display());
        let circles = find_circles(&texts);
        assert!(circles.is_empty(), "circles in {}:{}", folder.display(), describe(&circles));
    }
}

fn describe(circles: &[BTreeMap<PathBuf, BTreeSet<PathBuf>>]) -> String {
    let import = |(file, imported): (&PathBuf, &BTreeSet<PathBuf>)| {
        let imported: Vec<_> = imported.iter().map(|file| file.display().to_string()).collect();
        format!("\n  {} imports {}", file.display(), imported.join(", "))
    };
    let circle =
        |circle: &BTreeMap<_, _>| format!("\n{} files:", circle.len()) + &circle.iter().map(import).collect::<String>();
    circles.iter().map(circle).collect()
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

/// The circles among files, which are named from the folder of the sources: each with those of its own that a file
/// imports.
fn find_circles(texts: &BTreeMap<PathBuf, String>) -> Vec<BTreeMap<PathBuf, BTreeSet<PathBuf>>> {
    let sources: BTreeMap<Module, Source> =
        texts.iter().map(|(file, text)| (module_of(file), Source::read(file, text))).collect();
    let for_tests: BTreeSet<Module> =
        sources.iter().flat_map(|(module, source)| source.tests.iter().map(|name| child(module, name))).collect();
    let sources: BTreeMap<_, _> =
        sources.into_iter().filter(|(module, _)| !for_tests.iter().any(|test| module.starts_with(test))).collect();
    let tree = Tree(sources);
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        tree.0.keys().map(|module| (module, tree.imports(module))).collect();
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        tree.0.keys().map(|module| (module, reach(&imports, module))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, others) in &reached {
        let circle: BTreeSet<&Module> = others.iter().filter(|other| reached[other].contains(*module)).collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let file = |module: &Module| tree.0[module].file.clone();
        let within =
            |module: &Module| imports[module].iter().filter(|other| circle.contains(other)).map(file).collect();
        circles.push(circle.iter().map(|module| (file(module), within(module))).collect());
    }
    circles
}

/// What is imported by a file, by those that it imports, and so on.
fn reach(imports: &BTreeMap<&Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = left.pop() {
        if reached.insert(module.clone()) {
            left.extend(&imports[module]);
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

/// A path as it is written, and the name that it goes by in the file where it is imported.
#[derive(Clone, Debug)]
struct Written {
    segments: Vec<String>,
    alias: String,
}

/// What matters of a file.
struct Source {
    file: PathBuf,
    /// Modules that are only for tests.
    tests: Vec<String>,
    /// All paths but those of re-exports.
    paths: Vec<Written>,
    /// What `use` brings into the file.
    imported: Vec<Written>,
    /// What `pub use` hands on, and whether the file itself uses it.
    exported: Vec<(Written, bool)>,
}

impl Source {
    fn read(file: &Path, text: &str) -> Self {
        let (tokens, tests) = without_tests(&tokens(text));
        let (mut paths, mut imported, mut exported) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let is_start = is_name(&tokens[at]) && (at == 0 || !["::", "."].contains(&tokens[at - 1].as_str()));
            if tokens[at] == "use" {
                let is_public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                let found = read_tree(&tokens, &mut { at + 1 }, &[]);
                at = tokens[at..].iter().position(|token| token == ";").map_or(tokens.len(), |end| at + end);
                if is_public {
                    exported.extend(found);
                } else {
                    paths.extend(found.clone());
                    imported.extend(found);
                }
            } else if is_start && tokens.get(at + 1).is_some_and(|next| next == "::") {
                paths.extend(read_tree(&tokens, &mut { at }, &[]));
            }
            at += 1;
        }
        let is_used = |name: &str| tokens.iter().filter(|token| *token == name).count() > 1;
        let exported = exported.into_iter().map(|path| (path.clone(), is_used(&path.alias))).collect();
        Self { file: file.to_owned(), tests, paths, imported, exported }
    }
}

/// Reads `a::b::{c, d as e}` from a place on.
fn read_tree(tokens: &[String], at: &mut usize, prefix: &[String]) -> Vec<Written> {
    let mut segments = prefix.to_vec();
    let mut found = Vec::new();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        if token == "{" {
            while tokens.get(*at).is_some_and(|token| token != "}") {
                found.extend(read_tree(tokens, at, &segments));
                if tokens.get(*at).is_some_and(|token| token == ",") {
                    *at += 1;
                }
            }
            *at += 1;
            return found;
        }
        if token == "*" {
            return vec![Written { alias: String::new(), segments }];
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
    // What cannot be read must not be read for ever.
    if segments.len() == prefix.len() && !tokens.get(*at).is_some_and(|token| [",", "}"].contains(&token.as_str())) {
        *at += 1;
    }
    vec![Written { segments, alias }]
}

/// The files of a crate by their modules.
struct Tree(BTreeMap<Module, Source>);

/// Where a path leads.
enum Target {
    Module(Module),
    /// Something in the file of a module.
    Within(Module),
}

impl Tree {
    /// The modules whose files a file imports from.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let source = &self.0[module];
        let used = source.exported.iter().filter(|(_, is_used)| *is_used).map(|(path, _)| path);
        let targets = source.paths.iter().chain(used).filter_map(|path| self.follow(module, &path.segments, 0));
        let files = targets.filter_map(|target| match target {
            Target::Within(file) => Some(file),
            Target::Module(_) => None,
        });
        files.filter(|file| file != module).collect()
    }

    /// Follows a path that is written in a module; `None` where it leads out of the crate.
    fn follow(&self, module: &Module, segments: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = segments.split_first()?;
        let start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => {
                let above = module.split_last()?.1.to_vec();
                let goes_on = rest.first().is_some_and(|next| next == "super");
                return if goes_on { self.follow(&above, rest, depth) } else { self.descend(above, rest, depth) };
            }
            name if self.0.contains_key(&child(module, name)) => child(module, name),
            name => {
                let source = &self.0[module];
                let is_named = |path: &&Written| path.alias == name && path.segments != segments;
                let path = source.imported.iter().find(is_named).filter(|_| depth < 8)?;
                let Target::Module(named) = self.follow(module, &path.segments, depth + 1)? else { return None };
                named
            }
        };
        self.descend(start, rest, depth)
    }

    fn descend(&self, mut module: Module, segments: &[String], depth: usize) -> Option<Target> {
        for (place, name) in segments.iter().enumerate() {
            let below = child(&module, name);
            if self.0.contains_key(&below) {
                module = below;
                continue;
            }
            let exported = self.0.get(&module)?.exported.iter().find(|(path, _)| path.alias == *name);
            let Some((path, _)) = exported.filter(|_| depth < 8) else { return Some(Target::Within(module)) };
            return match self.follow(&module, &path.segments, depth + 1) {
                Some(Target::Module(named)) => self.descend(named, &segments[place + 1..], depth + 1),
                Some(within) => Some(within),
                // Something of another crate that is handed on.
                None => Some(Target::Within(module)),
            };
        }
        Some(Target::Module(module))
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and single marks, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
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

/// `r"…"`, `r#"…"#` and so on, also of bytes.
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

/// A character, or else a lifetime, of which only the mark is passed over.
fn quoted_length(text: &[char]) -> usize {
    match text {
        ['\'', '\\', ..] => text[3.min(text.len())..].iter().position(|end| *end == '\'').map_or(1, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Leaves out what is compiled for tests only, and names the modules among it that are files.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
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
    for (place, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return place + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

mod tests {
    use super::{BTreeMap, PathBuf, find_circles};

    /// The circles of a made-up crate, each as the names of its files.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let texts: BTreeMap<PathBuf, String> = files.iter().map(|(file, text)| (file.into(), (*text).into())).collect();
        let name = |file: &PathBuf| file.display().to_string();
        find_circles(&texts).iter().map(|circle| circle.keys().map(name).collect()).collect()
    }

    #[test]
    fn a_circle_is_found_through_modules_braces_and_re_exports() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::Alpha;"),
            ("a.rs", "use crate::{b::{self, Beta}, c::Gamma}; pub struct Alpha;"),
            ("b.rs", "mod deep; pub use deep::Beta;"),
            ("b/deep.rs", "use super::super::c; pub struct Beta; fn f() { c::inner::g(); }"),
            ("c.rs", "pub mod inner; pub struct Gamma;"),
            ("c/inner.rs", "pub fn g() -> crate::Alpha { crate::Alpha }"),
        ];
        assert_eq!(circles(&files), [["a.rs", "b/deep.rs", "c/inner.rs"]]);
    }

    #[test]
    fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
        let files = [
            ("main.rs", "mod parent;"),
            ("parent.rs", "mod child; pub(crate) use child::Child; struct Parent(Child);"),
            ("parent/child.rs", "use super::Parent as P; pub struct Child;"),
        ];
        assert_eq!(circles(&files), [["parent/child.rs", "parent.rs"]]);
    }

    #[test]
    fn tests_comments_literals_and_modules_that_are_named_only_are_no_imports() {
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
        assert!(circles(&files).is_empty(), "{:?}", circles(&files));
    }
}
