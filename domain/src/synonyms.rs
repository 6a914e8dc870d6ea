//! Synonyms by column, in folded form. No canonical form is itself a synonym.

use crate::column::Column;
use crate::fold::fold;

/// The synonyms of a column: pairs of a synonym and its canonical form.
#[must_use]
pub fn synonyms_of(column: Column) -> &'static [(&'static str, &'static str)] {
    match column {
        Column::Brand => BRAND,
        Column::BodyType => BODY_TYPE,
        Column::FuelType => FUEL_TYPE,
        Column::Transmission => TRANSMISSION,
        Column::Drive => DRIVE,
        Column::Wheel => WHEEL,
        Column::State => STATE,
        Column::Pts => PTS,
        Column::Customs => CUSTOMS,
        Column::Region => REGION,
        Column::Color => COLOR,
        _ => &[],
    }
}

/// The canonical form of a text, used for storage and lookup: folded, with synonyms resolved.
#[must_use]
pub fn canonical(column: Column, text: &str) -> String {
    let folded = fold(text);
    match synonyms_of(column).iter().find(|(word, _)| *word == folded) {
        Some((_, meaning)) => (*meaning).to_owned(),
        None => folded,
    }
}

const BRAND: &[(&str, &str)] = &[
    ("lada", "lada (ваз)"),
    ("ваз", "lada (ваз)"),
    ("ваз (lada)", "lada (ваз)"),
    ("лада", "lada (ваз)"),
    ("vaz", "lada (ваз)"),
    ("мерседес", "mercedes-benz"),
    ("мерседес-бенц", "mercedes-benz"),
    ("mercedes", "mercedes-benz"),
    ("mercedes benz", "mercedes-benz"),
    ("бмв", "bmw"),
    ("ауди", "audi"),
    ("фольксваген", "volkswagen"),
    ("vw", "volkswagen"),
    ("тойота", "toyota"),
    ("ниссан", "nissan"),
    ("хендай", "hyundai"),
    ("хундай", "hyundai"),
    ("хендэ", "hyundai"),
    ("киа", "kia"),
    ("форд", "ford"),
    ("рено", "renault"),
    ("шкода", "skoda"),
    ("škoda", "skoda"),
    ("мазда", "mazda"),
    ("митсубиси", "mitsubishi"),
    ("мицубиси", "mitsubishi"),
    ("хонда", "honda"),
    ("опель", "opel"),
    ("шевроле", "chevrolet"),
    ("пежо", "peugeot"),
    ("ситроен", "citroen"),
    ("citroën", "citroen"),
    ("субару", "subaru"),
    ("сузуки", "suzuki"),
    ("лексус", "lexus"),
    ("вольво", "volvo"),
    ("порше", "porsche"),
    ("ленд ровер", "land rover"),
    ("чери", "chery"),
    ("джили", "geely"),
    ("хавал", "haval"),
    ("газ (gaz)", "газ"),
    ("gaz", "газ"),
    ("уаз (uaz)", "уаз"),
    ("uaz", "уаз"),
];

const BODY_TYPE: &[(&str, &str)] = &[
    ("sedan", "седан"),
    ("внедорожник", "внедорожник 5 дв."),
    ("кроссовер", "внедорожник 5 дв."),
    ("внедорожник 5дв", "внедорожник 5 дв."),
    ("внедорожник 5 дверей", "внедорожник 5 дв."),
    ("suv", "внедорожник 5 дв."),
    ("джип/suv 5 дв.", "внедорожник 5 дв."),
    ("джип/suv 3 дв.", "внедорожник 3 дв."),
    ("хэтчбек", "хэтчбек 5 дв."),
    ("хетчбек", "хэтчбек 5 дв."),
    ("hatchback", "хэтчбек 5 дв."),
    ("универсал", "универсал 5 дв."),
    ("wagon", "универсал 5 дв."),
    ("estate", "универсал 5 дв."),
    ("liftback", "лифтбек"),
    ("coupe", "купе"),
    ("convertible", "кабриолет"),
    ("cabrio", "кабриолет"),
    ("minivan", "минивэн"),
    ("минивен", "минивэн"),
    ("van", "фургон"),
    ("пикап", "пикап двойная кабина"),
    ("pickup", "пикап двойная кабина"),
];

const FUEL_TYPE: &[(&str, &str)] = &[
    ("бензиновый", "бензин"),
    ("petrol", "бензин"),
    ("gasoline", "бензин"),
    ("diesel", "дизель"),
    ("дизельный", "дизель"),
    ("hybrid", "гибрид"),
    ("гибридный", "гибрид"),
    ("electric", "электро"),
    ("электричество", "электро"),
    ("электрический", "электро"),
    ("электромобиль", "электро"),
    ("lpg", "газ"),
    ("газовый", "газ"),
    ("бензин, гбо", "бензин, газобаллонное оборудование"),
    ("бензин/газ", "бензин, газобаллонное оборудование"),
];

const TRANSMISSION: &[(&str, &str)] = &[
    ("акпп", "автоматическая"),
    ("автомат", "автоматическая"),
    ("ат", "автоматическая"),
    ("at", "автоматическая"),
    ("automatic", "автоматическая"),
    ("auto", "автоматическая"),
    ("мкпп", "механическая"),
    ("механика", "механическая"),
    ("мт", "механическая"),
    ("mt", "механическая"),
    ("manual", "механическая"),
    ("ркпп", "роботизированная"),
    ("робот", "роботизированная"),
    ("robot", "роботизированная"),
    ("amt", "роботизированная"),
    ("dsg", "роботизированная"),
    ("dct", "роботизированная"),
    ("cvt", "вариатор"),
    ("variator", "вариатор"),
    ("бесступенчатая", "вариатор"),
];

const DRIVE: &[(&str, &str)] = &[
    ("4wd", "полный"),
    ("awd", "полный"),
    ("4x4", "полный"),
    ("4х4", "полный"),
    ("полный привод", "полный"),
    ("fwd", "передний"),
    ("передний привод", "передний"),
    ("rwd", "задний"),
    ("задний привод", "задний"),
];

const WHEEL: &[(&str, &str)] = &[
    ("левый руль", "левый"),
    ("слева", "левый"),
    ("left", "левый"),
    ("правый руль", "правый"),
    ("справа", "правый"),
    ("right", "правый"),
];

const STATE: &[(&str, &str)] = &[
    ("не битый", "не требует ремонта"),
    ("небитый", "не требует ремонта"),
    ("хорошее", "не требует ремонта"),
    ("отличное", "не требует ремонта"),
    ("битый", "битый / не на ходу"),
    ("не на ходу", "битый / не на ходу"),
    ("битый/не на ходу", "битый / не на ходу"),
    ("требует ремонта", "битый / не на ходу"),
];

const PTS: &[(&str, &str)] =
    &[("original", "оригинал"), ("оригинал птс", "оригинал"), ("duplicate", "дубликат"), ("дубликат птс", "дубликат")];

const CUSTOMS: &[(&str, &str)] = &[
    ("да", "растаможен"),
    ("yes", "растаможен"),
    ("растаможена", "растаможен"),
    ("нет", "не растаможен"),
    ("no", "не растаможен"),
    ("не растаможена", "не растаможен"),
];

const REGION: &[(&str, &str)] =
    &[("мск", "москва"), ("г. москва", "москва"), ("спб", "санкт-петербург"), ("питер", "санкт-петербург")];

const COLOR: &[(&str, &str)] = &[
    ("black", "черный"),
    ("white", "белый"),
    ("grey", "серый"),
    ("gray", "серый"),
    ("silver", "серебристый"),
    ("серебряный", "серебристый"),
    ("blue", "синий"),
    ("red", "красный"),
    ("green", "зеленый"),
    ("brown", "коричневый"),
    ("beige", "бежевый"),
    ("yellow", "желтый"),
    ("orange", "оранжевый"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_are_folded_unique_and_resolve_in_one_step() {
        for column in Column::ALL {
            let table = synonyms_of(column);
            for (index, (word, meaning)) in table.iter().enumerate() {
                assert_eq!(fold(word), *word);
                assert_eq!(fold(meaning), *meaning);
                assert!(!table[..index].iter().any(|(earlier, _)| earlier == word), "{word} is listed twice");
                assert!(!table.iter().any(|(other, _)| other == meaning), "{word} → {meaning} does not end there");
            }
        }
    }

    #[test]
    fn synonyms_resolve_to_the_canonical_form() {
        assert_eq!(canonical(Column::Transmission, " АКПП "), "автоматическая");
        assert_eq!(canonical(Column::FuelType, "Бензин"), "бензин");
        assert_eq!(canonical(Column::Brand, "Лада"), "lada (ваз)");
        assert_eq!(canonical(Column::Color, "Чёрный"), "черный");
    }
}
