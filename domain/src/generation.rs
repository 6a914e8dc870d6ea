//! Generations that sources spell differently: "III", "III (2011—2015)" and "III (QB)" are the same one of a model.

/// What tells generations of a model apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks {
    /// Which restyling, 0 for none.
    restyling: u32,
    /// The ordinal numbers.
    ordinals: Vec<u32>,
    /// Body codes and other words.
    codes: Vec<String>,
}

/// Whether two spellings, in canonical form, are of the same generation of a model.
#[must_use]
pub fn is_same_generation(a: &str, b: &str) -> bool {
    a == b || Marks::of(a).is_same(&Marks::of(b))
}

/// Groups spellings of the same generation, given the most frequent first; each group has their indices in this order.
#[must_use]
pub fn group_generations<T: AsRef<str>>(spellings: &[T]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(Marks, Vec<usize>)> = Vec::new();
    for (index, spelling) in spellings.iter().enumerate() {
        let marks = Marks::of(spelling.as_ref());
        match groups.iter_mut().find(|(known, _)| known.is_same(&marks)) {
            Some((_, group)) => group.push(index),
            None => groups.push((marks, vec![index])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

impl Marks {
    fn of(spelling: &str) -> Self {
        let mut marks = Self { restyling: 0, ordinals: Vec::new(), codes: Vec::new() };
        let spelling = without_years(spelling);
        let mut words = spelling.split([' ', '(', ')', '/', ',']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            if is_restyling(word) {
                marks.restyling =
                    words.next_if(|next| next.parse::<u32>().is_ok()).map_or(1, |next| next.parse().unwrap_or(1));
            } else if let Some(ordinal) = roman(word).or_else(|| word.parse().ok().filter(|ordinal| *ordinal <= 20)) {
                marks.ordinals.push(ordinal);
            } else if !matches!(word, "поколение" | "generation" | "gen") {
                marks.codes.push(word.to_owned());
            }
        }
        marks
    }

    fn is_same(&self, other: &Self) -> bool {
        if self.restyling != other.restyling {
            return false;
        }
        if self.codes.is_empty() || other.codes.is_empty() {
            return !self.ordinals.is_empty() && self.ordinals == other.ordinals;
        }
        let covers = |a: &Self, b: &Self| a.codes.iter().all(|a| b.codes.iter().any(|b| is_same_code(a, b)));
        covers(self, other) && covers(other, self)
    }
}

/// The spelling without years of production: "(2011—2015)", "(2017—н. в.)".
fn without_years(spelling: &str) -> String {
    let mut rest = spelling;
    let mut without = String::with_capacity(spelling.len());
    while let Some((before, after)) = rest.split_once('(') {
        let (inside, after) = after.split_once(')').unwrap_or((after, ""));
        without.push_str(before);
        let digits = inside.chars().take_while(char::is_ascii_digit).count();
        if digits != 4 {
            without.push('(');
            without.push_str(inside);
            without.push(')');
        }
        rest = after;
    }
    without + rest
}

fn is_restyling(word: &str) -> bool {
    ["рестайл", "restyl", "facelift"].iter().any(|start| word.starts_with(start))
}

/// The value of a Roman numeral of letters up to X.
fn roman(word: &str) -> Option<u32> {
    let digits = word.chars().map(|letter| match letter {
        'i' => Some(1),
        'v' => Some(5),
        'x' => Some(10),
        _ => None,
    });
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let mut value = 0;
    for (index, digit) in digits.iter().enumerate() {
        let is_subtracted = digits.get(index + 1).is_some_and(|next| next > digit);
        if is_subtracted { value -= i64::from(*digit) } else { value += i64::from(*digit) }
    }
    u32::try_from(value).ok().filter(|value| *value > 0)
}

/// Whether two codes are the same, where an x stands for any digit: "f3x" is "f30" and "f31".
fn is_same_code(a: &str, b: &str) -> bool {
    let is_same = |(a, b): (char, char)| a == b || (a == 'x' && b.is_ascii_digit()) || (b == 'x' && a.is_ascii_digit());
    a.chars().count() == b.chars().count() && a.chars().zip(b.chars()).all(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_generation_are_recognized() {
        for (a, b) in [
            ("iii", "iii (2011—2015)"),
            ("iii рестайлинг", "iii рестайлинг (2015—2017)"),
            ("iv (2017—н. в.)", "iv"),
            ("vii (xv50)", "xv50 (2011—2014)"),
            ("vi (xv40) рестайлинг", "xv40 рестайлинг (2009—2011)"),
            ("xv50 рестайлинг 2 (2017—2018)", "vii (xv50) рестайлинг 2"),
            ("v (e90/e91/e92/e93)", "e90/e91/e92/e93 (2005—2010)"),
            ("vi (f3x)", "f30/f31 (2011—2015)"),
            ("3 поколение", "iii"),
        ] {
            assert!(is_same_generation(a, b) && is_same_generation(b, a), "{a} and {b}");
        }
    }

    #[test]
    fn different_generations_are_told_apart() {
        for (a, b) in [
            ("iii", "iii рестайлинг"),
            ("iii", "iv"),
            ("xv50 рестайлинг (2014—2017)", "xv50 рестайлинг 2 (2017—2018)"),
            ("e36 (1990—2000)", "e30 (1982—1991)"),
            ("vii (xv50)", "vii (xv50) japan market"),
            ("v40", "v30"),
            ("gracia", "iv (xv20)"),
        ] {
            assert!(!is_same_generation(a, b) && !is_same_generation(b, a), "{a} and {b}");
        }
    }

    #[test]
    fn groups_keep_the_order() {
        let spellings = ["x (x-line)", "iii (2011—2015)", "iii рестайлинг (2015—2017)", "iii рестайлинг", "iii", "iv"];
        assert_eq!(group_generations(&spellings), [vec![0], vec![1, 4], vec![2, 3], vec![5]]);
        assert!(group_generations::<&str>(&[]).is_empty());
    }

    #[test]
    fn roman_numerals_are_read() {
        assert_eq!(
            ["i", "iv", "vii", "ix", "xii", "e", ""].map(roman),
            [Some(1), Some(4), Some(7), Some(9), Some(12), None, None]
        );
    }
}
