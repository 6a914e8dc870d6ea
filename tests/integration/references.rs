//! The generated pages of `docs/` match the code.

use std::path::Path;

use crate::market::Home;

#[test]
fn the_committed_references_are_up_to_date() {
    for page in ["commands", "variables"] {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{page}.md"));
        let committed = std::fs::read_to_string(committed).unwrap();
        let generated = Home::new().ok(&["reference", page]);
        assert!(generated == committed, "regenerate it: cargo run -- reference {page} > docs/{page}.md");
    }
}
