//! Folding: the normal form in which texts are compared.

/// Trims, collapses whitespace, lowercases and replaces ё with е.
///
/// Clients of the model file follow the same rule (`probeg.schema`), so it never changes without a new schema
/// fingerprint.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for c in word.chars() {
            match c {
                // Fast path: `to_lowercase` would search its tables.
                '\0'..='\x7f' => folded.push(c.to_ascii_lowercase()),
                'а'..='я' => folded.push(c),
                _ => folded.extend(c.to_lowercase().map(|c| if c == 'ё' { 'е' } else { c })),
            }
        }
    }
    folded
}

/// Folds a table header like [`fold`]; also drops a byte order mark and replaces `_` with a space.
#[must_use]
pub fn fold_header(header: &str) -> String {
    fold(&header.replace('\u{feff}', "").replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_normalizes_case_spaces_and_yo() {
        assert_eq!(fold("  Не  Требует\u{a0}ремонта "), "не требует ремонта");
        assert_eq!(fold("Чёрный ЁЖ"), "черный еж");
        assert_eq!(fold(" \t"), "");
    }

    proptest::proptest! {
        #[test]
        fn folding_matches_unicode_lowercase(text in "[ -~а-яёА-ЯЁßİΣſK]{0,40}") {
            let words: Vec<&str> = text.split_whitespace().collect();
            let lowered: String = words.join(" ").chars().flat_map(char::to_lowercase).collect();
            proptest::prop_assert_eq!(fold(&text), lowered.replace('ё', "е"));
        }

        #[test]
        fn folding_is_idempotent(text in "\\PC{0,40}") {
            let once = fold(&text);
            proptest::prop_assert_eq!(fold(&once), once);
        }
    }
}
