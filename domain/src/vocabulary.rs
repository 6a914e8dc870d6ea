//! Keys of categorical features, and suggestions for misspelt texts.

use std::cmp::Ordering;

/// Separates the texts of a key; cannot occur in folded text.
pub const SEPARATOR: char = '\u{1f}';

/// Writes the key of a categorical feature into `key`, from canonical texts in the order of its columns. Returns false,
/// with the key unspecified, if a text is missing: such a listing has no key.
pub fn write_key<'a>(key: &mut String, texts: impl IntoIterator<Item = Option<&'a str>>) -> bool {
    key.clear();
    for (index, text) in texts.into_iter().enumerate() {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return false };
        if index > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(text);
    }
    true
}

/// Known texts, indexed so that a suggestion has a bounded cost.
#[derive(Clone, Debug, Default)]
pub struct Spellings {
    shapes: Vec<Shape>,
    max_length: usize,
}

/// A text that exceeds all known ones by more letters than this gets no suggestion.
const MAX_EXTRA_LETTERS: usize = 32;
/// How many known texts are compared letter by letter: those with the best bounds.
const MAX_CANDIDATES: usize = 12;

impl Spellings {
    /// Indexes known texts, each with its index.
    pub fn new<'a>(known: impl IntoIterator<Item = (usize, &'a str)>) -> Self {
        let shapes: Vec<Shape> = known.into_iter().map(|(index, text)| Shape::new(index, text.chars())).collect();
        let max_length = shapes.iter().map(|shape| shape.length).max().unwrap_or(0);
        Self { shapes, max_length }
    }

    /// The index of the most similar known text, if it is similar enough to be suggested. `known` returns the text at an
    /// index.
    pub fn nearest<'a>(&self, text: &str, known: impl Fn(usize) -> &'a str) -> Option<usize> {
        let max_length = self.max_length + MAX_EXTRA_LETTERS;
        let shape = Shape::new(0, text.chars().take(max_length + 1));
        if shape.length > max_length {
            return None;
        }
        let bounds = self.shapes.iter().map(|known| (Similarity::upper_bound(&shape, known), known));
        let mut candidates: Vec<(Similarity, &Shape)> = bounds.filter(|(bound, _)| bound.is_enough()).collect();
        candidates.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
        let mut nearest: Option<(Similarity, usize)> = None;
        for (bound, candidate) in candidates.into_iter().take(MAX_CANDIDATES) {
            if nearest.is_some_and(|(similarity, _)| similarity >= bound) {
                break;
            }
            let similarity = Similarity::of(text, known(candidate.index), bound, shape.length.min(candidate.length));
            if similarity.is_enough() && nearest.is_none_or(|(so_far, _)| similarity > so_far) {
                nearest = Some((similarity, candidate.index));
            }
        }
        nearest.map(|(_, index)| index)
    }
}

/// The most similar known text, if it is similar enough to be suggested. To look up many texts, build [`Spellings`]
/// once.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let index = Spellings::new(known.iter().copied().enumerate()).nearest(text, |index| known[index]);
    index.map(|index| known[index])
}

/// Length of the prefix that Jaro-Winkler similarity gives more weight.
const PREFIX_LENGTH: usize = 4;

/// A summary of a text that bounds its similarity to another without comparing them letter by letter.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Bit set of the letters that occur; several letters may share a bit.
    letters: u64,
    prefix: [char; PREFIX_LENGTH],
    length: usize,
    index: usize,
}

impl Shape {
    fn new(index: usize, letters: impl Iterator<Item = char>) -> Self {
        let mut shape = Self { letters: 0, prefix: ['\0'; PREFIX_LENGTH], length: 0, index };
        for letter in letters {
            shape.letters |= 1 << (u32::from(letter) % u64::BITS);
            if let Some(slot) = shape.prefix.get_mut(shape.length) {
                *slot = letter;
            }
            shape.length += 1;
        }
        shape
    }
}

/// How similar two texts are. Texts within two typos rank first; the others are ordered by Jaro-Winkler.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Similarity {
    /// 3 without a typo, 2 with one, 1 with two; 0 with more than is likely in a text of this length.
    closeness: usize,
    /// From 0 to 1.
    jaro_winkler: f64,
}

impl Similarity {
    fn of(text: &str, known: &str, bound: Self, shorter: usize) -> Self {
        let is_close = bound.closeness > 0;
        let closeness = if is_close { closeness(strsim::osa_distance(text, known), shorter) } else { 0 };
        Self { closeness, jaro_winkler: strsim::jaro_winkler(text, known) }
    }

    /// An upper bound of the similarity of two texts. An edit changes the length by at most one, and adds and removes at
    /// most one letter; a letter that the other text lacks matches none of its letters.
    #[expect(clippy::cast_precision_loss, reason = "text lengths")]
    fn upper_bound(a: &Shape, b: &Shape) -> Self {
        let only_a = (a.letters & !b.letters).count_ones() as usize;
        let only_b = (b.letters & !a.letters).count_ones() as usize;
        let edits = only_a.max(only_b).max(a.length.abs_diff(b.length));
        let matches = (a.length - only_a).min(b.length - only_b) as f64;
        let prefix = a.prefix.iter().zip(&b.prefix).take_while(|(a, b)| a == b && **a != '\0').count() as f64;
        let jaro =
            if matches > 0.0 { (matches / a.length as f64 + matches / b.length as f64 + 1.0) / 3.0 } else { 0.0 };
        let jaro_winkler = jaro + 0.1 * prefix * (1.0 - jaro) + f64::EPSILON;
        Self { closeness: closeness(edits, a.length.min(b.length)), jaro_winkler }
    }

    fn is_enough(self) -> bool {
        self.closeness > 0 || self.jaro_winkler >= 0.8
    }
}

fn closeness(edits: usize, shorter: usize) -> usize {
    let max_edits = match shorter {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    if edits <= max_edits { 3 - edits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_get_a_suggestion() {
        assert_eq!(nearest("toyotta", ["toyota", "kia"]), Some("toyota"));
        assert_eq!(nearest("spaceship", ["toyota", "kia"]), None);
        assert_eq!(nearest("qia", ["toyota", "kia"]), Some("kia"));
        assert_eq!(nearest("price", ["drive", "brand"]), None);
        assert_eq!(nearest("camry xv70", ["corolla", "camry"]), Some("camry"));
        assert_eq!(nearest("", ["toyota", "kia"]), None);
        assert_eq!(nearest("toyota", []), None);
    }

    #[test]
    fn overlong_texts_get_no_suggestion() {
        assert_eq!(nearest(&"toyota".repeat(40), ["toyota"]), None);
    }

    /// Similar makes, models, cities and words from listings.
    const KNOWN: &str = "audi|bmw|cadillac|changan|chery|chevrolet|citroen|dacia|daewoo|datsun|dodge|fiat|ford|geely|\
        genesis|haval|honda|hyundai|infiniti|jaguar|jeep|kia|land rover|lexus|lifan|mazda|mercedes-benz|mini|mitsubishi|\
        nissan|opel|peugeot|porsche|renault|skoda|ssangyong|subaru|suzuki|tesla|toyota|volkswagen|volvo|lada (ваз)|газ|\
        уаз|заз|москвич|rio|rio x-line|ceed|cerato|sportage|sorento|optima|picanto|camry|corolla|corona|carina|rav4|\
        land cruiser|land cruiser prado|octavia|fabia|rapid|superb|kodiaq|polo|passat|passat cc|golf|golf plus|tiguan|\
        touareg|москва|санкт-петербург|екатеринбург|новосибирск|новокузнецк|нижний новгород|великий новгород|\
        краснодар|красноярск|челябинск|омск|томск|тула|тверь|пермь|пенза|самара|саратов|сургут|воронеж|волгоград|\
        вологда|владимир|владивосток|владикавказ|белгород|белый|черный|серый|серебряный|синий|красный|\
        автоматическая|механическая|роботизированная|вариатор|передний|задний|полный|бензин|дизель|гибрид|электро";

    fn known() -> Vec<&'static str> {
        KNOWN.split('|').collect()
    }

    /// A baseline: the most similar text by Jaro-Winkler alone.
    fn nearest_by_jaro_winkler(text: &str, known: &[&'static str]) -> Option<&'static str> {
        let similar = known.iter().map(|known| (strsim::jaro_winkler(text, known), *known));
        similar.filter(|(similarity, _)| *similarity >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
    }

    /// Every variant with one letter dropped, doubled, replaced, or swapped with the next.
    fn typos(text: &str) -> Vec<String> {
        let letters: Vec<char> = text.chars().collect();
        let mut typos = Vec::new();
        for index in 0..letters.len() {
            let (before, after) = (&letters[..index], &letters[index + 1..]);
            let with = |middle: &[char]| [before, middle, after].concat().into_iter().collect::<String>();
            typos.extend([with(&[]), with(&[letters[index], letters[index]]), with(&['о']), with(&['e'])]);
            if let Some((next, after)) = after.split_first() {
                typos.push([before, &[*next, letters[index]], after].concat().into_iter().collect());
            }
        }
        typos
    }

    /// Number of typos, and how many of them the index and the baseline resolve.
    fn count_resolved(edits: impl Fn(&str) -> Vec<String>) -> (usize, usize, usize) {
        let known = known();
        let spellings = Spellings::new(known.iter().copied().enumerate());
        let (mut all, mut indexed, mut baseline) = (0, 0, 0);
        for word in known.iter().filter(|word| word.chars().count() >= 4) {
            for typo in edits(word).into_iter().filter(|typo| !known.contains(&typo.as_str())) {
                all += 1;
                let nearest = spellings.nearest(&typo, |index| known[index]);
                indexed += usize::from(nearest.map(|index| known[index]) == Some(*word));
                baseline += usize::from(nearest_by_jaro_winkler(&typo, &known) == Some(*word));
            }
        }
        (all, indexed, baseline)
    }

    #[test]
    fn nearly_all_single_typos_are_resolved() {
        let (all, indexed, baseline) = count_resolved(typos);
        assert!(all > 2000 && indexed * 1000 >= all * 985 && indexed > baseline, "{indexed} and {baseline} of {all}");
    }

    #[test]
    fn most_double_typos_are_resolved() {
        let twice = |word: &str| {
            let once = typos(word).into_iter().step_by(7);
            once.flat_map(|once| typos(&once).into_iter().step_by(5)).collect()
        };
        let (all, indexed, baseline) = count_resolved(twice);
        assert!(all > 2000 && indexed * 100 >= all * 92 && indexed > baseline, "{indexed} and {baseline} of {all}");
    }

    proptest::proptest! {
        /// A skipped candidate cannot be nearer.
        #[test]
        fn upper_bounds_hold(a in "[abcаб1 ]{0,12}", b in "[abcаб1 ]{0,12}") {
            let (shape_a, shape_b) = (Shape::new(0, a.chars()), Shape::new(0, b.chars()));
            let bound = Similarity::upper_bound(&shape_a, &shape_b);
            let unbounded = Similarity { closeness: 3, jaro_winkler: 1.0 };
            let similarity = Similarity::of(&a, &b, unbounded, shape_a.length.min(shape_b.length));
            proptest::prop_assert!(bound.closeness >= similarity.closeness, "{:?} {:?}", bound, similarity);
            proptest::prop_assert!(bound.jaro_winkler >= similarity.jaro_winkler || a == b, "{:?} {:?}", bound, similarity);
        }
    }
}
