//! Known texts: the keys of categorical features, and the known text that a misspelt one means.

use std::cmp::Ordering;

/// Stands between the texts of a key; cannot occur in folded text.
pub const SEPARATOR: char = '\u{1f}';

/// Builds the key of a categorical feature in `key`, from canonical texts in the order of its
/// columns. False, with the key unspecified, when a text is missing: such a listing has no key.
pub fn write_key<'a>(key: &mut String, texts: impl IntoIterator<Item = Option<&'a str>>) -> bool {
    key.clear();
    for (place, text) in texts.into_iter().enumerate() {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return false };
        if place > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(text);
    }
    true
}

/// Known texts, prepared once so that finding the one that was meant has a bounded cost.
#[derive(Clone, Debug, Default)]
pub struct Spellings {
    shapes: Vec<Shape>,
    longest: usize,
}

/// A text that is longer by more letters than this than every known one is none of them misspelt.
const MAX_EXTRA_LETTERS: usize = 32;
/// Known texts that are compared letter by letter: those that may be most alike.
const MAX_COMPARED: usize = 12;

impl Spellings {
    /// Prepares known texts, each with the place where it is found again.
    pub fn new<'a>(known: impl IntoIterator<Item = (usize, &'a str)>) -> Self {
        let shapes: Vec<Shape> = known.into_iter().map(|(place, text)| Shape::new(place, text.chars())).collect();
        let longest = shapes.iter().map(|shape| shape.length).max().unwrap_or(0);
        Self { shapes, longest }
    }

    /// The place of the known text that is most alike, when it is alike enough to be meant. `known` gives the text of a
    /// place.
    pub fn nearest<'a>(&self, text: &str, known: impl Fn(usize) -> &'a str) -> Option<usize> {
        let max_length = self.longest + MAX_EXTRA_LETTERS;
        let given = Shape::new(0, text.chars().take(max_length + 1));
        if given.length > max_length {
            return None;
        }
        let bounds = self.shapes.iter().map(|shape| (Likeness::bound(&given, shape), shape));
        let mut candidates: Vec<(Likeness, &Shape)> = bounds.filter(|(bound, _)| bound.is_enough()).collect();
        candidates.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
        let mut nearest: Option<(Likeness, usize)> = None;
        for (bound, shape) in candidates.into_iter().take(MAX_COMPARED) {
            if nearest.is_some_and(|(likeness, _)| likeness >= bound) {
                break;
            }
            let likeness = Likeness::of(text, known(shape.place), bound, given.length.min(shape.length));
            if likeness.is_enough() && nearest.is_none_or(|(so_far, _)| likeness > so_far) {
                nearest = Some((likeness, shape.place));
            }
        }
        nearest.map(|(_, place)| place)
    }
}

/// The known text that is most alike, when it is alike enough to be meant. Where many texts are looked up among the
/// same known ones, [`Spellings`] are made once.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let place = Spellings::new(known.iter().copied().enumerate()).nearest(text, |place| known[place]);
    place.map(|place| known[place])
}

/// Letters at the beginning that Jaro-Winkler similarity gives more weight.
const PREFIX: usize = 4;

/// What bounds how alike two texts can be, without comparing them letter by letter.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// A bit for each letter that occurs. Several letters may share one.
    letters: u64,
    prefix: [char; PREFIX],
    length: usize,
    place: usize,
}

impl Shape {
    fn new(place: usize, letters: impl Iterator<Item = char>) -> Self {
        let mut shape = Self { letters: 0, prefix: ['\0'; PREFIX], length: 0, place };
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

/// How alike two texts are. A text with a typo or two comes before all others; those are ordered by similarity.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Likeness {
    /// 3 without a typo, 2 with one, 1 with two; 0 with more than are likely in a text of its length.
    closeness: usize,
    /// Jaro-Winkler, from 0 to 1.
    similarity: f64,
}

impl Likeness {
    fn of(text: &str, known: &str, bound: Self, shorter: usize) -> Self {
        let is_close = bound.closeness > 0;
        let closeness = if is_close { closeness(strsim::osa_distance(text, known), shorter) } else { 0 };
        Self { closeness, similarity: strsim::jaro_winkler(text, known) }
    }

    /// The most alike that two texts can be: an edit changes the length by one at most, and adds and takes away one
    /// letter at most; a letter that the other text does not have matches none of its letters.
    #[expect(clippy::cast_precision_loss, reason = "lengths of texts")]
    fn bound(a: &Shape, b: &Shape) -> Self {
        let only_a = (a.letters & !b.letters).count_ones() as usize;
        let only_b = (b.letters & !a.letters).count_ones() as usize;
        let edits = only_a.max(only_b).max(a.length.abs_diff(b.length));
        let matches = (a.length - only_a).min(b.length - only_b) as f64;
        let prefix = a.prefix.iter().zip(&b.prefix).take_while(|(a, b)| a == b && **a != '\0').count() as f64;
        let jaro =
            if matches > 0.0 { (matches / a.length as f64 + matches / b.length as f64 + 1.0) / 3.0 } else { 0.0 };
        let similarity = jaro + 0.1 * prefix * (1.0 - jaro) + f64::EPSILON;
        Self { closeness: closeness(edits, a.length.min(b.length)), similarity }
    }

    fn is_enough(self) -> bool {
        self.closeness > 0 || self.similarity >= 0.8
    }
}

fn closeness(edits: usize, shorter: usize) -> usize {
    let likely = match shorter {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    if edits <= likely { 3 - edits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_word() {
        assert_eq!(nearest("toyotta", ["toyota", "kia"]), Some("toyota"));
        assert_eq!(nearest("spaceship", ["toyota", "kia"]), None);
        assert_eq!(nearest("qia", ["toyota", "kia"]), Some("kia"));
        assert_eq!(nearest("price", ["drive", "brand"]), None);
        assert_eq!(nearest("camry xv70", ["corolla", "camry"]), Some("camry"));
        assert_eq!(nearest("", ["toyota", "kia"]), None);
        assert_eq!(nearest("toyota", []), None);
    }

    #[test]
    fn a_text_much_longer_than_any_known_one_means_none() {
        assert_eq!(nearest(&"toyota".repeat(40), ["toyota"]), None);
    }

    /// Makes, models, places and words that differ by little, as they do in listings.
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

    /// As suggestions were made before there was an index: the most similar of all, by Jaro-Winkler.
    fn by_similarity_alone(text: &str, known: &[&'static str]) -> Option<&'static str> {
        let similar = known.iter().map(|known| (strsim::jaro_winkler(text, known), *known));
        similar.filter(|(similarity, _)| *similarity >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
    }

    /// Every text with a letter left out, doubled, replaced, or swapped with the next.
    fn typos(text: &str) -> Vec<String> {
        let letters: Vec<char> = text.chars().collect();
        let mut typos = Vec::new();
        for place in 0..letters.len() {
            let (before, after) = (&letters[..place], &letters[place + 1..]);
            let with = |middle: &[char]| [before, middle, after].concat().into_iter().collect::<String>();
            typos.extend([with(&[]), with(&[letters[place], letters[place]]), with(&['о']), with(&['e'])]);
            if let Some((next, after)) = after.split_first() {
                typos.push([before, &[*next, letters[place]], after].concat().into_iter().collect());
            }
        }
        typos
    }

    /// How many of some typos lead back to their word: with the index, and by similarity alone.
    fn found(edits: impl Fn(&str) -> Vec<String>) -> (usize, usize, usize) {
        let known = known();
        let spellings = Spellings::new(known.iter().copied().enumerate());
        let (mut all, mut indexed, mut similar) = (0, 0, 0);
        for word in known.iter().filter(|word| word.chars().count() >= 4) {
            for typo in edits(word).into_iter().filter(|typo| !known.contains(&typo.as_str())) {
                all += 1;
                let place = spellings.nearest(&typo, |place| known[place]);
                indexed += usize::from(place.map(|place| known[place]) == Some(*word));
                similar += usize::from(by_similarity_alone(&typo, &known) == Some(*word));
            }
        }
        (all, indexed, similar)
    }

    #[test]
    fn nearly_every_single_typo_leads_back_to_its_word() {
        let (all, indexed, similar) = found(typos);
        assert!(all > 2000 && indexed * 1000 >= all * 985 && indexed > similar, "{indexed} and {similar} of {all}");
    }

    #[test]
    fn most_double_typos_lead_back_to_their_word() {
        let twice = |word: &str| {
            let once = typos(word).into_iter().step_by(7);
            once.flat_map(|once| typos(&once).into_iter().step_by(5)).collect()
        };
        let (all, indexed, similar) = found(twice);
        assert!(all > 2000 && indexed * 100 >= all * 92 && indexed > similar, "{indexed} and {similar} of {all}");
    }

    proptest::proptest! {
        /// What is not looked at letter by letter could not have been nearer.
        #[test]
        fn bounds_hold(a in "[abcаб1 ]{0,12}", b in "[abcаб1 ]{0,12}") {
            let (shape_a, shape_b) = (Shape::new(0, a.chars()), Shape::new(0, b.chars()));
            let bound = Likeness::bound(&shape_a, &shape_b);
            let unbounded = Likeness { closeness: 3, similarity: 1.0 };
            let likeness = Likeness::of(&a, &b, unbounded, shape_a.length.min(shape_b.length));
            proptest::prop_assert!(bound.closeness >= likeness.closeness, "{:?} {:?}", bound, likeness);
            proptest::prop_assert!(bound.similarity >= likeness.similarity || a == b, "{:?} {:?}", bound, likeness);
        }
    }
}
