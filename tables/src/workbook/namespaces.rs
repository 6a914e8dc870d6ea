//! The namespace prefixes that are declared around an element.

use std::collections::HashMap;

/// Prefixes as tags declare them and their ends take them back.
#[derive(Default)]
pub(crate) struct Namespaces {
    /// Each with the depth of its element.
    declared: Vec<(usize, String)>,
    /// How many open elements declare a prefix.
    open: HashMap<String, usize>,
}

impl Namespaces {
    pub(crate) fn declare(&mut self, prefix: &str, depth: usize) {
        self.declared.push((depth, prefix.to_owned()));
        *self.open.entry(prefix.to_owned()).or_default() += 1;
    }

    /// Forgets what elements deeper than this declare.
    pub(crate) fn close(&mut self, depth: usize) {
        while let Some((_, prefix)) = self.declared.pop_if(|(declared, _)| *declared > depth) {
            if let Some(count) = self.open.get_mut(&prefix) {
                *count -= 1;
            }
        }
    }

    /// Whether the prefix of a name, if it has one, is declared.
    pub(crate) fn know(&self, name: &str) -> bool {
        let Some((prefix, _)) = name.split_once(':') else { return true };
        matches!(prefix, "xml" | "xmlns") || self.open.get(prefix).is_some_and(|count| *count > 0)
    }
}
