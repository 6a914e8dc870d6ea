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

/// Words of a header that say nothing about the column: a table of cars is about cars.
const FILLERS: [&str; 25] = [
    "авто",
    "автомобиль",
    "автомобиля",
    "машина",
    "машины",
    "а/м",
    "ам",
    "т/с",
    "тс",
    "транспортного",
    "транспортное",
    "средства",
    "средство",
    "указать",
    "the",
    "of",
    "car",
    "vehicle",
    "des",
    "der",
    "das",
    "fahrzeug",
    "fahrzeugs",
    "kfz",
    "pkw",
];

/// Reduces a folded header to its words: without punctuation, a number at its start, and words that say nothing about the
/// column. `№ 3. Пробег а/м, тыс.км` becomes `пробег тыс км`.
#[must_use]
pub fn plain_header(folded: &str) -> String {
    let is_filler = |word: &str| FILLERS.contains(&word.trim_matches(|c: char| !c.is_alphanumeric()));
    let kept = folded.split(' ').filter(|word| !is_filler(word)).flat_map(|word| {
        word.split(|c: char| !c.is_alphanumeric() && !matches!(c, '₽' | '$' | '€' | '£' | '№' | '#'))
            .filter(|part| !part.is_empty())
    });
    let kept: Vec<&str> = kept.filter(|word| !FILLERS.contains(word)).collect();
    // At its start it is the number of the column; at its end, the column has numbers: "Кузов №" is no type of body.
    let is_number = |word: &&&str| word.chars().all(|c| c.is_ascii_digit() || matches!(c, '№' | '#'));
    let numbers = if kept.len() > 1 { kept.iter().take_while(is_number).count() } else { 0 };
    kept[numbers..].join(" ")
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

    #[test]
    fn a_plain_header_has_only_words_of_its_column() {
        for (header, plain) in [
            ("3. Пробег а/м, тыс.км", "пробег тыс км"),
            ("Пр-г", "пр г"),
            ("Об. дв.", "об дв"),
            ("КПП (тип)*", "кпп тип"),
            ("Цена, ₽:", "цена ₽"),
            ("Марка ТС", "марка"),
            ("Make of the car", "make"),
            ("№", "№"),
            ("№ 3 Год", "год"),
            ("Кузов №", "кузов №"),
            ("Автомобиль", ""),
            ("2018", "2018"),
        ] {
            assert_eq!(plain_header(&fold_header(header)), plain, "{header}");
        }
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
