//! Finding names in spite of typing errors, other alphabets and missing endings: "рио", "camri" and "toyot".

use std::collections::HashMap;
use std::ops::Range;

use symspell_rs::{SymSpell, Verbosity};

/// Names, indexed for the search while someone is typing.
pub struct Names {
    /// The number of names.
    count: usize,
    /// The keys of spellings, sorted.
    spellings: Vec<Key>,
    /// The keys of sounds, sorted.
    sounds: Vec<Key>,
    /// Finds keys of both kinds by similar ones.
    similar: SymSpell,
    /// The names of each key.
    by_key: HashMap<Box<str>, Vec<u32>>,
}

/// A name by one of its keys.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    text: Box<str>,
    /// Whether the key starts at a later word of the name.
    is_later_word: bool,
    name: u32,
}

/// How like a text a name is, the most like first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// The same letters, in whatever alphabet.
    Same,
    /// It sounds the same.
    SameSound,
    /// It starts with the text, or sounds as if it did.
    Beginning,
    /// One of its later words does.
    LaterWord,
    /// It differs by this number of letters.
    Similar(u8),
}

/// A name that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its index.
    pub name: usize,
    /// How like the text it is.
    pub likeness: Likeness,
}

/// The maximum number of wrong letters.
const MAX_ERRORS: usize = 2;
/// Only the beginnings of keys are compared with all errors, which keeps the index small.
const PREFIX_LENGTH: usize = 5;
/// Longer texts are not searched for.
const MAX_KEY_LENGTH: usize = 100;

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Names {
    /// Indexes names, the most frequent first, each with all of its spellings.
    pub fn new<'s, S: IntoIterator<Item = &'s str>>(names: impl IntoIterator<Item = S>) -> Self {
        let (mut spellings, mut sounds) = (Vec::new(), Vec::new());
        let mut count = 0;
        for (name, all) in (0..).zip(names) {
            count += 1;
            for spelling in all {
                let mut rest = spelling;
                let mut is_later_word = false;
                loop {
                    let key = |text: String| Key { text: text.into(), is_later_word, name };
                    spellings.push(key(letters(rest)));
                    sounds.push(key(sound(&letters(rest))));
                    let Some((_, later)) = rest.split_once([' ', '(', '-', '/']) else { break };
                    (rest, is_later_word) = (later, true);
                }
            }
        }
        let mut similar = SymSpell::new(MAX_ERRORS, None, PREFIX_LENGTH, 1);
        let mut by_key: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        for keys in [&mut spellings, &mut sounds] {
            keys.retain(|key| !key.text.is_empty());
            keys.sort_unstable();
            keys.dedup();
            for key in keys.iter().filter(|key| !key.is_later_word) {
                let names = by_key.entry(key.text.clone()).or_default();
                if names.is_empty() {
                    similar.create_dictionary_entry(&*key.text, 1);
                }
                names.push(key.name);
            }
        }
        Self { count, spellings, sounds, similar, by_key }
    }

    /// The names most like a text, at most `limit`; of equally like ones the most frequent. All names are like no text.
    #[must_use]
    pub fn search(&self, text: &str, limit: usize) -> Vec<Found> {
        let spelling = letters(text);
        if spelling.is_empty() {
            return (0..self.count).take(limit).map(|name| Found { name, likeness: Likeness::Beginning }).collect();
        }
        if spelling.len() > MAX_KEY_LENGTH {
            return Vec::new();
        }
        let sound = sound(&spelling);
        let mut found: HashMap<u32, Likeness> = HashMap::new();
        let mut add = |name: u32, likeness| {
            let known = found.entry(name).or_insert(likeness);
            *known = likeness.min(*known);
        };
        for (keys, typed, same) in
            [(&self.spellings, &spelling, Likeness::Same), (&self.sounds, &sound, Likeness::SameSound)]
        {
            for key in &keys[starting_with(keys, typed)] {
                add(
                    key.name,
                    match key.is_later_word {
                        true => Likeness::LaterWord,
                        false if *key.text == **typed => same,
                        false => Likeness::Beginning,
                    },
                );
            }
        }
        for typed in [&spelling, &sound] {
            let max_errors = max_errors(typed.len());
            if max_errors == 0 || found.len() >= limit {
                continue;
            }
            for similar in self.similar.lookup(typed, Verbosity::All, max_errors, &None, None, false) {
                let errors = u8::try_from(similar.distance).unwrap_or(u8::MAX);
                for name in self.by_key.get(similar.term.as_str()).into_iter().flatten() {
                    let known = found.entry(*name).or_insert(Likeness::Similar(errors));
                    *known = Likeness::Similar(errors).min(*known);
                }
            }
        }
        let mut found: Vec<(Likeness, u32)> = found.into_iter().map(|(name, likeness)| (likeness, name)).collect();
        found.sort_unstable();
        found.truncate(limit);
        found.into_iter().map(|(likeness, name)| Found { name: name as usize, likeness }).collect()
    }

    /// The only name with the same letters, or else the only one that sounds the same.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<Found> {
        let found = self.search(text, usize::MAX);
        [Likeness::Same, Likeness::SameSound].into_iter().find_map(|likeness| {
            let mut same = found.iter().filter(|found| found.likeness == likeness);
            let first = same.next()?;
            same.next().is_none().then_some(*first)
        })
    }
}

/// The sorted keys that start with a text.
fn starting_with(keys: &[Key], text: &str) -> Range<usize> {
    let start = keys.partition_point(|key| *key.text < *text);
    let length = keys[start..].partition_point(|key| key.text.starts_with(text));
    start..start + length
}

/// How many errors are likely in a text of this length.
fn max_errors(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        _ => MAX_ERRORS,
    }
}

/// The letters and digits of a text, in lower case and the Latin alphabet.
#[must_use]
pub fn letters(text: &str) -> String {
    // Other letters than the Latin ones may become several.
    let latin = any_ascii::any_ascii(text);
    latin.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Letters that sound alike, as written and as replaced; the first that fits applies.
const SOUNDS: [(&str, &str); 28] = [
    ("shch", "s"),
    ("sch", "s"),
    ("dzh", "g"),
    ("tch", "s"),
    ("kh", ""),
    ("ch", "s"),
    ("sh", "s"),
    ("zh", "s"),
    ("ck", "k"),
    ("ph", "f"),
    ("th", "t"),
    ("ts", "s"),
    ("tz", "s"),
    ("qu", "kv"),
    ("oo", "u"),
    ("ou", "u"),
    ("ee", "i"),
    ("ii", "i"),
    ("iy", "i"),
    ("yy", "i"),
    ("h", ""),
    ("c", "k"),
    ("q", "k"),
    ("x", "ks"),
    ("w", "v"),
    ("y", "i"),
    ("j", "i"),
    ("z", "s"),
];

/// How letters sound, roughly; names that are written by ear in another alphabet sound the same.
fn sound(letters: &str) -> String {
    let mut sound = String::with_capacity(letters.len());
    let mut rest = letters;
    while let Some(first) = rest.chars().next() {
        let alike = SOUNDS.iter().find_map(|(written, heard)| Some((*heard, rest.strip_prefix(written)?)));
        let (heard, after) = alike.unwrap_or_else(|| rest.split_at(first.len_utf8()));
        for letter in heard.chars() {
            // Digits are repeated with a meaning.
            if letter.is_ascii_digit() || !sound.ends_with(letter) {
                sound.push(letter);
            }
        }
        rest = after;
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [&str; 14] = [
        "camry",
        "corolla",
        "rav4",
        "land cruiser",
        "land cruiser prado",
        "rio",
        "rio x-line",
        "ceed",
        "sportage",
        "granta",
        "2114",
        "2115",
        "e-класс",
        "патриот",
    ];

    fn models() -> Names {
        Names::new(MODELS.map(|name| [name]))
    }

    fn first(text: &str) -> Option<&'static str> {
        models().search(text, 5).first().map(|found| MODELS[found.name])
    }

    #[test]
    fn names_are_found_by_beginnings_errors_and_other_alphabets() {
        for (text, expected) in [
            ("Camri", "camry"),
            ("Камри", "camry"),
            ("кам", "camry"),
            ("cmary", "camry"),
            ("Королла", "corolla"),
            ("карола", "corolla"),
            ("Рио", "rio"),
            ("РАВ4", "rav4"),
            ("rav 4", "rav4"),
            ("cruiser", "land cruiser"),
            ("прадо", "land cruiser prado"),
            ("Ленд Крузер", "land cruiser"),
            ("Гранта", "granta"),
            ("сид", "ceed"),
            ("2114", "2114"),
            ("E-class", "e-класс"),
            ("Patriot", "патриот"),
        ] {
            assert_eq!(first(text), Some(expected), "{text}");
        }
        for text in ["космолет", "xyz", "21", &"a".repeat(5000)] {
            let found = models().search(text, 5);
            assert!(found.iter().all(|found| found.likeness != Likeness::Same), "{text}: {found:?}");
        }
        assert_eq!(first("космолет"), None);
    }

    #[test]
    fn the_most_like_names_come_first_and_then_the_most_frequent() {
        let found = models().search("rio", 5);
        let names: Vec<_> = found.iter().map(|found| (MODELS[found.name], found.likeness)).collect();
        assert_eq!(names, [("rio", Likeness::Same), ("rio x-line", Likeness::Beginning)]);
        let all: Vec<usize> = models().search("", 3).iter().map(|found| found.name).collect();
        assert_eq!(all, [0, 1, 2]);
        let numbers: Vec<_> = models().search("211", 5).iter().map(|found| MODELS[found.name]).collect();
        assert_eq!(numbers, ["2114", "2115"]);
    }

    #[test]
    fn only_the_same_name_is_resolved() {
        let models = models();
        let resolved = |text| models.resolve(text).map(|found| MODELS[found.name]);
        assert_eq!(resolved("Камри"), Some("camry"));
        assert_eq!(resolved("Land-Cruiser"), Some("land cruiser"));
        assert_eq!((resolved("camr"), resolved("2113"), resolved("")), (None, None, None));
        let ambiguous = Names::new([["kaz"], ["kas"]]);
        assert_eq!(ambiguous.resolve("кас").map(|found| found.name), Some(1));
        assert_eq!(ambiguous.resolve("cas"), None);
    }

    #[test]
    fn other_spellings_are_names_too() {
        let makes = Names::new([vec!["lada (ваз)", "ваз", "лада", "vaz"], vec!["mercedes-benz", "мерседес"]]);
        for (text, expected) in [("ВАЗ", 0), ("Lada", 0), ("жигули", usize::MAX), ("Мерс", 1), ("benz", 1)]
        {
            assert_eq!(makes.search(text, 1).first().map_or(usize::MAX, |found| found.name), expected, "{text}");
        }
    }

    proptest::proptest! {
        /// The name itself is always among those found, whatever its first letters.
        #[test]
        fn every_beginning_finds_its_name(name in 0..MODELS.len(), length in 1_usize..20) {
            let beginning: String = MODELS[name].chars().take(length).collect();
            let found = models().search(&beginning, MODELS.len());
            proptest::prop_assert!(found.iter().any(|found| found.name == name), "{beginning}");
        }

        #[test]
        fn any_text_can_be_searched(text in "\\PC{0,60}") {
            proptest::prop_assert!(models().search(&text, 5).len() <= 5);
        }
    }
}
