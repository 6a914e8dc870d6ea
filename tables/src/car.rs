//! The year in a text with a make and a model: "Kia Rio 2018 г.в.".

use domain::{Cell, Column, Reading, Value, cell};

/// The year at the end of a text, after at least two words: that of "Peugeot 2008" is a model.
pub(crate) fn year_of_car(text: &str, reading: Reading<'_>) -> Option<Value> {
    let mut words: Vec<&str> = text.split([' ', '\u{a0}', ',', ';']).filter(|word| !word.is_empty()).collect();
    while words.pop_if(|word| is_word_for_year(word)).is_some() {}
    let last = words.pop().filter(|_| words.len() > 1)?.trim_matches(['(', ')']);
    let digits = last.bytes().take_while(u8::is_ascii_digit).count();
    let is_year = digits == 4 && is_word_for_year(&last[digits..]);
    let year = cell::parse_cell(Column::Year, &Cell::Text(last), reading);
    if is_year { year.ok().flatten() } else { None }
}

/// `г.в.` and what else may follow a year, or nothing.
fn is_word_for_year(word: &str) -> bool {
    let letters: String = word.chars().filter(|letter| *letter != '.').collect();
    matches!(letters.to_lowercase().as_str(), "" | "г" | "гв" | "год" | "года")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Market;

    #[test]
    fn only_a_year_at_the_end_after_a_make_and_a_model_counts() {
        for (text, expected) in [
            ("Kia Rio 2018", Some(2018.0)),
            ("Toyota Camry, 2016 г.в.", Some(2016.0)),
            ("Skoda Octavia (2017г.)", Some(2017.0)),
            ("Peugeot 2008 2015 года", Some(2015.0)),
            ("Peugeot 2008", None),
            ("Kia Rio", None),
            ("2018 Kia Rio", None),
            ("LADA (ВАЗ) 2114", None),
            ("Kia Rio 1.6", None),
            ("Kia Rio 20180", None),
            ("Итого за 2018 год", Some(2018.0)),
            ("", None),
        ] {
            let reading = Reading { market: Market::russia(), year: 2026 };
            assert_eq!(year_of_car(text, reading), expected.map(Value::Number), "{text}");
        }
    }
}
