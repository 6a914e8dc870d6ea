//! The makes and models that a model knows, found as people write them.

use std::collections::{HashMap, HashSet};

use crate::signature::Signature;
use domain::feature::{CATEGORICAL, CategoricalFeature, MODEL};
use domain::names::{Found, Likeness, Names};
use domain::{Column, Listing, Market, Value};

/// The makes and models that a model knows, indexed for the search.
#[derive(Debug)]
pub struct CarNames {
    makes: Index,
    /// By make.
    models: HashMap<String, Index>,
    /// Of all makes: each with its make.
    all_models: Names,
    makes_of_models: Vec<(String, String)>,
}

/// The maximum number of words of a make before a model, such as "Great Wall Hover".
const MAX_MAKE_WORDS: usize = 3;

/// Names with their index.
#[derive(Debug)]
struct Index {
    texts: Vec<String>,
    /// The same, to look them up.
    known: HashSet<String>,
    names: Names,
}

/// A car that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggested {
    /// Its make, in canonical form.
    pub brand: String,
    /// Its model, if the text has one.
    pub model: Option<String>,
    /// How like the text it is.
    pub likeness: Likeness,
}

impl CarNames {
    /// Indexes the names that a model knows by its signature.
    #[must_use]
    pub fn new(signature: &Signature) -> Self {
        let market = &signature.task.market;
        let makes = in_order_of_frequency(signature, CATEGORICAL[domain::feature::BRAND].name);
        let keys = in_order_of_frequency(signature, CATEGORICAL[MODEL].name);
        let mut models: HashMap<String, Vec<String>> = HashMap::new();
        let mut makes_of_models = Vec::new();
        for key in keys {
            if let [make, model] = &key[..] {
                models.entry(make.clone()).or_default().push(model.clone());
                makes_of_models.push((make.clone(), model.clone()));
            }
        }
        Self {
            makes: Index::new(makes.into_iter().filter_map(|key| key.into_iter().next()), Column::Brand, market),
            models: models.into_iter().map(|(make, all)| (make, Index::new(all, Column::Model, market))).collect(),
            all_models: Names::new(makes_of_models.iter().map(|(_, model)| [model.as_str()])),
            makes_of_models,
        }
    }

    /// The makes that a text may mean, with a model where it names one too: "kya rio", "ВАЗ 2114".
    #[must_use]
    pub fn makes(&self, text: &str, limit: usize) -> Vec<Suggested> {
        let mut found: Vec<Suggested> = Vec::new();
        for (make, likeness) in self.makes.search(text, limit) {
            found.push(Suggested { brand: make.to_owned(), model: None, likeness });
        }
        if !text.trim().is_empty() {
            found.extend(self.with_models(text, limit));
            let models = self.all_models.search(text, limit).into_iter();
            // In a field for makes, models with errors would be noise.
            for Found { name, likeness } in models.filter(|found| found.likeness <= Likeness::Beginning) {
                let (brand, model) = self.makes_of_models[name].clone();
                found.push(Suggested { brand, model: Some(model), likeness });
            }
        }
        // Of equally like ones, the makes stay first.
        found.sort_by_key(|found| found.likeness);
        found.truncate(limit);
        found
    }

    /// The models of a make that a text may mean; of all makes without one. The text may repeat the make.
    #[must_use]
    pub fn models(&self, brand: Option<&str>, text: &str, limit: usize) -> Vec<Suggested> {
        let Some(brand) = brand else {
            let all = self.all_models.search(text, limit).into_iter();
            let found = all.map(|Found { name, likeness }| {
                let (brand, model) = self.makes_of_models[name].clone();
                Suggested { brand, model: Some(model), likeness }
            });
            return found.collect();
        };
        let Some(models) = self.models.get(brand) else { return Vec::new() };
        let mut found: Vec<Suggested> = models.suggest(brand, text, limit).collect();
        found.extend(self.with_models(text, limit).into_iter().filter(|suggested| suggested.brand == brand));
        found.sort_by_key(|found| found.likeness);
        found.dedup_by(|a, b| a.model == b.model);
        found.truncate(limit);
        found
    }

    /// The models of makes that a text names together.
    fn with_models(&self, text: &str, limit: usize) -> Vec<Suggested> {
        let spaces = text.char_indices().filter(|(_, letter)| letter.is_whitespace());
        let mut found = Vec::new();
        for (space, _) in spaces {
            let (make, model) = text.split_at(space);
            let is_make = |likeness| matches!(likeness, Likeness::Same | Likeness::SameSound | Likeness::Similar(1));
            for (make, of_make) in self.makes.search(make, 3).into_iter().filter(|(_, likeness)| is_make(*likeness)) {
                let Some(models) = self.models.get(make).filter(|_| !model.trim().is_empty()) else { continue };
                let with_make = |found: Suggested| Suggested { likeness: found.likeness.max(of_make), ..found };
                found.extend(models.suggest(make, model, limit).map(with_make));
            }
        }
        found
    }

    /// The make that a text means beyond doubt, in canonical form.
    #[must_use]
    pub fn make(&self, text: &str, market: &Market) -> Option<&str> {
        let canonical = market.canonical(Column::Brand, text);
        if let Some(known) = self.makes.known.get(&canonical) {
            return Some(known);
        }
        // Makes are few and short, so in the same alphabet they have to have the same letters.
        let found = self.makes.names.resolve(text)?;
        let is_sure = found.likeness == Likeness::Same || !text.is_ascii();
        is_sure.then(|| self.makes.texts[found.name].as_str())
    }

    /// The model of a make that a text means beyond doubt, in canonical form. The text may repeat the make.
    #[must_use]
    pub fn model(&self, brand: &str, text: &str, market: &Market) -> Option<&str> {
        let models = self.models.get(brand)?;
        let find = |text: &str| {
            let known = models.known.get(&market.canonical(Column::Model, text)).map(String::as_str);
            known.or_else(|| models.names.resolve(text).map(|found| models.texts[found.name].as_str()))
        };
        let without_make = |space: usize| {
            let (make, model) = text.split_at(space);
            (self.make(make, market)? == brand).then(|| find(model.trim())).flatten()
        };
        let spaces = text.char_indices().filter(|(_, letter)| letter.is_whitespace()).map(|(space, _)| space);
        find(text).or_else(|| spaces.take(MAX_MAKE_WORDS).find_map(without_make))
    }

    /// The make that a text starts with beyond doubt, and the model that the rest means, or else the rest: "Kia Rio 1.6 АКПП".
    #[must_use]
    pub fn car(&self, text: &str, market: &Market) -> Option<(&str, String)> {
        let words: Vec<&str> = text.split([' ', '\u{a0}', ',', ';', '/']).filter(|word| !word.is_empty()).collect();
        let longest = MAX_MAKE_WORDS.min(words.len().checked_sub(1)?);
        let (make, rest) = (1..=longest).rev().find_map(|count| {
            let (make, rest) = words.split_at(count);
            Some((self.make(&make.join(" "), market)?, rest))
        })?;
        let model = (1..=rest.len()).rev().find_map(|count| {
            let (model, details) = rest.split_at(count);
            self.model(make, &model.join(" "), market).filter(|_| are_details(details, market))
        });
        Some((make, model.map_or_else(|| rest.join(" "), str::to_owned)))
    }

    /// Replaces a text with a make and a model in the place of the make by both, unless the listing has another model.
    fn separate(&self, listing: &mut Listing, market: &Market) {
        let Some((make, model)) = listing.text(Column::Brand).and_then(|text| self.car(text, market)) else { return };
        let stated = listing.text(Column::Model);
        if stated.is_none_or(|stated| self.model(make, stated, market) == Some(model.as_str())) {
            let make = make.to_owned();
            listing.set(Column::Brand, Some(Value::Text(make)));
            listing.set(Column::Model, Some(Value::Text(model)));
        }
    }

    /// Replaces texts of a listing by known ones that are meant beyond doubt: "Камри" by "camry", "механ." by "механическая".
    pub fn resolve(&self, listing: &mut Listing, market: &Market) {
        for &column in market.definition().values.keys() {
            let meant = listing.text(column).and_then(|text| market.abbreviated(column, text)).map(str::to_owned);
            if let Some(meant) = meant {
                listing.set(column, Some(Value::Text(meant)));
            }
        }
        self.resolve_car(listing, market);
    }

    fn resolve_car(&self, listing: &mut Listing, market: &Market) {
        let Some(make) = listing.text(Column::Brand).and_then(|text| self.make(text, market)) else {
            return self.separate(listing, market);
        };
        let model = listing.text(Column::Model).and_then(|text| self.model(make, text, market));
        let is_other =
            |column, text: &str| listing.text(column).is_some_and(|own| market.canonical(column, own) != text);
        let replaced = [(Column::Brand, Some(make)), (Column::Model, model)]
            .map(|(column, text)| Some((column, text.filter(|text| is_other(column, text))?.to_owned())));
        for (column, text) in replaced.into_iter().flatten() {
            listing.set(column, Some(Value::Text(text)));
        }
    }
}

/// Whether words after a model say nothing about which model it is: a year, a volume, a transmission, anything in brackets. Other
/// words may be the rest of its name: a Land Cruiser Prado is no Land Cruiser.
fn are_details(words: &[&str], market: &Market) -> bool {
    const COLUMNS: [Column; 4] = [Column::BodyType, Column::FuelType, Column::Transmission, Column::Drive];
    let mut is_in_brackets = false;
    words.iter().all(|word| {
        is_in_brackets |= word.starts_with('(');
        let is_detail = is_in_brackets || is_year(word) || is_volume(word) || {
            COLUMNS.into_iter().any(|column| market.knows(column, word))
        };
        is_in_brackets &= !word.ends_with(')');
        is_detail
    })
}

/// `2018`, `2018г.`, and what may follow it: `г.в.`.
fn is_year(word: &str) -> bool {
    let digits = word.trim_end_matches(['г', 'в', '.']);
    digits.is_empty()
        || matches!(word, "год" | "года")
        || digits.len() == 4 && digits.parse().is_ok_and(|year: u16| (1950..2100).contains(&year))
}

/// `1.6` and `1.6л`: a number of litres.
fn is_volume(word: &str) -> bool {
    let parts = word.trim_end_matches(['л', 'l']).split_once('.');
    parts.is_some_and(|(whole, fraction)| {
        [whole, fraction].into_iter().all(|part| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

impl Index {
    fn new(texts: impl IntoIterator<Item = String>, column: Column, market: &Market) -> Self {
        let texts: Vec<String> = texts.into_iter().collect();
        let others = market.definition().values.get(&column);
        let spellings = |text: &'_ String| -> Vec<String> {
            let others = others.and_then(|values| values.get(text)).into_iter().flatten().cloned();
            std::iter::once(text.clone()).chain(others).collect()
        };
        let spellings: Vec<Vec<String>> = texts.iter().map(spellings).collect();
        let names = Names::new(spellings.iter().map(|all| all.iter().map(String::as_str)));
        Self { known: texts.iter().cloned().collect(), texts, names }
    }

    fn search(&self, text: &str, limit: usize) -> Vec<(&str, Likeness)> {
        let found = self.names.search(text, limit).into_iter();
        found.map(|Found { name, likeness }| (self.texts[name].as_str(), likeness)).collect()
    }

    fn suggest(&self, brand: &str, text: &str, limit: usize) -> impl Iterator<Item = Suggested> {
        let found = self.search(text, limit).into_iter();
        found.map(|(model, likeness)| Suggested { brand: brand.to_owned(), model: Some(model.to_owned()), likeness })
    }
}

/// The known keys of a feature, the most frequent in the training data first.
fn in_order_of_frequency(signature: &Signature, feature: &str) -> Vec<Vec<String>> {
    let Some(known) = signature.schema.categorical.iter().find(|known| known.name == feature) else {
        return Vec::new();
    };
    let CategoricalFeature { values, .. } = known;
    let reference = signature.reference.iter().flat_map(|reference| &reference.categorical);
    let frequent =
        reference.filter(|distribution| distribution.name == feature).flat_map(|distribution| &distribution.ids);
    let mut order: Vec<usize> = frequent.filter_map(|id| usize::try_from(id - 1).ok()).collect();
    order.retain(|index| *index < values.len());
    let mut is_listed = vec![false; values.len()];
    order.retain(|index| !std::mem::replace(&mut is_listed[*index], true));
    order.extend((0..values.len()).filter(|index| !is_listed[*index]));
    order.into_iter().map(|index| values[index].clone()).collect()
}
