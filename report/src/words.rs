//! Texts in both languages.

use domain::{Column, Language};
use serde::Serialize;

pub(crate) const RU: Language = Language::Russian;
pub(crate) const EN: Language = Language::English;

/// A plain text in both languages, escaped when rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalizedText {
    /// In Russian.
    pub ru: String,
    /// In English.
    pub en: String,
}

impl LocalizedText {
    pub(crate) fn new(ru: impl Into<String>, en: impl Into<String>) -> Self {
        Self { ru: ru.into(), en: en.into() }
    }

    /// The same text in both languages, such as a name.
    pub(crate) fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { ru: text.clone(), en: text }
    }

    /// A text formatted for each language.
    pub(crate) fn each(write: impl Fn(Language) -> String) -> Self {
        Self { ru: write(RU), en: write(EN) }
    }

    pub(crate) fn then(self, other: &Self) -> Self {
        Self { ru: self.ru + &other.ru, en: self.en + &other.en }
    }

    /// The text in a language.
    #[must_use]
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Russian => &self.ru,
            Language::English => &self.en,
        }
    }
}

/// What the target of a task is called within sentences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetWords {
    /// Its name.
    pub(crate) name: (&'static str, &'static str),
    /// Its genitive in Russian, and its name in English.
    pub(crate) of: (&'static str, &'static str),
    /// Several values of one car.
    pub(crate) different: (&'static str, &'static str),
    /// The start of a sentence on how many percent the highest value of a car is above its lowest.
    pub(crate) extremes: (&'static str, &'static str),
    /// What it is, as a sentence.
    pub(crate) definition: (&'static str, &'static str),
}

impl TargetWords {
    pub(crate) fn of(target: Column) -> Self {
        match target {
            Column::SalePrice => Self {
                name: ("цена продажи", "sale price"),
                of: ("цены продажи", "sale price"),
                different: ("с разной ценой продажи", "with different sale prices"),
                extremes: ("Высшая цена продажи машины обычно больше низшей", "highest and the lowest sale price"),
                definition: ("Цены — цены продажи.", "Prices are sale prices."),
            },
            Column::DaysListed => Self {
                name: ("срок продажи", "days listed"),
                of: ("срока продажи", "days listed"),
                different: ("с разным сроком продажи", "with different days listed"),
                extremes: (
                    "Наибольший срок продажи машины обычно больше наименьшего",
                    "highest and the lowest days listed",
                ),
                definition: (
                    "Срок продажи — дни от объявления до продажи.",
                    "Days listed are the days from the listing to the sale.",
                ),
            },
            _ => Self {
                name: ("цена", "price"),
                of: ("цены", "price"),
                different: ("по разной цене", "at different prices"),
                extremes: ("Высшая цена машины обычно больше низшей", "highest and the lowest price"),
                definition: ("Цены — цены предложения.", "Prices are asking prices."),
            },
        }
    }
}
