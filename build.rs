//! Tells the program the git revision from which it is built.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A source archive may be within another repository, whose revision is not that of the program.
    let revision = if Path::new(".git").exists() { git(&["rev-parse", "--short=12", "HEAD"]) } else { None };
    if let Some(log) = revision.as_ref().and_then(|_| git(&["rev-parse", "--git-path", "logs/HEAD"])) {
        println!("cargo:rerun-if-changed={log}");
    }
    let revision = revision.map(|revision| format!(" ({revision})")).unwrap_or_default();
    println!("cargo:rustc-env=PROBEG_REVISION={revision}");
}

/// What a git command prints; `None` without git.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
