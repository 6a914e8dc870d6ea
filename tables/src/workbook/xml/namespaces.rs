//! The namespace prefixes in scope.

use std::collections::HashMap;

/// The prefixes that the open elements declare.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Each prefix with the depth of its element.
    declared: Vec<(usize, String)>,
    /// The number of open elements that declare each prefix.
    open: HashMap<String, usize>,
}

impl Namespaces {
    pub(super) fn declare(&mut self, prefix: &str, depth: usize) {
        self.declared.push((depth, prefix.to_owned()));
        *self.open.entry(prefix.to_owned()).or_default() += 1;
    }

    /// Removes the prefixes of elements deeper than this.
    pub(super) fn close(&mut self, depth: usize) {
        while let Some((_, prefix)) = self.declared.pop_if(|(declared, _)| *declared > depth) {
            if let Some(count) = self.open.get_mut(&prefix) {
                *count -= 1;
            }
        }
    }

    /// Whether the name has no prefix or a declared one.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        let Some((prefix, _)) = name.split_once(':') else { return true };
        matches!(prefix, "xml" | "xmlns") || self.open.get(prefix).is_some_and(|count| *count > 0)
    }
}
