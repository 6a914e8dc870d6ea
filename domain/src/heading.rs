//! The headers of tables.

use crate::cell::is_unit;
use crate::column::Column;
use crate::fold::{fold_header, plain_header};
use crate::market::Market;
use crate::vocabulary::nearest;

/// What a header of a table means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The column.
    pub column: Column,
    /// The rank of the header among those of the column; its name is the first.
    pub rank: usize,
    /// The unit in the header, which applies to cells without one: `тыс. км` of `Пробег, тыс. км`.
    pub unit: Option<String>,
}

/// The maximum length of a header in bytes: a longer text is not a header, and comparing it would take long.
pub const MAX_HEADER_BYTES: usize = 200;

/// Words of headers above texts with a make and a model, such as "Kia Rio", besides those for any car.
const CARS: [&str; 19] = [
    "марка модель",
    "марка и модель",
    "модель марка",
    "модель и марка",
    "бренд модель",
    "производитель модель",
    "make model",
    "make and model",
    "make & model",
    "marke modell",
    "marke und modell",
    "marke typ",
    "hersteller modell",
    "fahrzeugbezeichnung",
    "предмет лизинга",
    "наименование предмета лизинга",
    "наименование",
    "номенклатура",
    "model description",
];

/// Words of headers that mean no column, however alike they are spelled: "Комплектация" is no "Локация".
const OTHERS: [&str; 8] =
    ["комплектация", "знак", "ключей", "номер", "телефон", "комментарий", "примечание", "менеджер"];

/// The first rank of headers above makes with their models: after those of makes alone.
const CAR_RANK: usize = 1 << 16;

impl Heading {
    /// The meaning of a header in a market: in any case, spacing and punctuation, with or without a unit, and with words such as
    /// "автомобиля" or "of the car".
    #[must_use]
    pub fn of(header: &str, market: &Market) -> Option<Self> {
        let folded = fold_header(header);
        let named = |(column, rank)| Self { column, rank, unit: None };
        let words = plain_header(&folded);
        market
            .column_of(header)
            .map(named)
            .or_else(|| with_unit(&folded, market, |start| market.column_of(start)))
            .or_else(|| in_any_order(&words, market).map(named))
            .or_else(|| with_unit(&words, market, |start| in_any_order(start, market)))
            .or_else(|| Self::of_kilowatts(&words))
            .or_else(|| Self::of_cars(&folded, &words))
    }

    /// A column of powers whose header is only their unit.
    fn of_kilowatts(words: &str) -> Option<Self> {
        let is_unit = matches!(words, "kw" | "квт");
        is_unit.then(|| Self { column: Column::EnginePower, rank: 0, unit: Some(words.to_owned()) })
    }

    /// The meaning of a header above makes with their models: a make, unless another column has the makes.
    fn of_cars(folded: &str, words: &str) -> Option<Self> {
        // Nothing is left of "Автомобиль" and "ТС", which say only that this is a car.
        let is_car = words.is_empty() && folded.chars().any(char::is_alphabetic);
        let place = CARS.iter().position(|car| *car == words).or_else(|| is_car.then_some(CARS.len()))?;
        Some(Self { column: Column::Brand, rank: CAR_RANK + place, unit: None })
    }

    /// Whether the texts below have a make with its model.
    #[must_use]
    pub fn is_of_cars(&self) -> bool {
        self.rank >= CAR_RANK
    }
}

/// The column of the words of a header, of two words the other way round too: "цена розничная".
fn in_any_order(words: &str, market: &Market) -> Option<(Column, usize)> {
    market.column_of_words(words).or_else(|| {
        let (first, second) = words.split_once(' ').filter(|(_, second)| !second.contains(' '))?;
        market.column_of_words(&format!("{second} {first}"))
    })
}

impl Heading {
    /// A header of a column that somebody has chosen, with the unit at its end if it has one.
    #[must_use]
    pub fn chosen(header: &str, column: Column, market: &Market) -> Self {
        let folded = fold_header(header);
        let is_mark = |c: char| matches!(c, ' ' | ',' | '(' | ')' | '[' | ']');
        // The longest end that is a unit: "тыс. км" rather than "км".
        let unit = folded.match_indices([' ', ',', '(', '[']).find_map(|(start, _)| {
            let unit = folded[start..].trim_matches(is_mark);
            is_unit(column, unit, market).then(|| unit.to_owned())
        });
        Self { column, rank: 0, unit }
    }

    /// The column that an unrecognized header may mean: one with a header that is spelled alike, or whose words it has.
    #[must_use]
    pub fn suggest(header: &str, market: &Market) -> Option<Column> {
        if header.len() > MAX_HEADER_BYTES {
            return None;
        }
        let words = plain_header(&fold_header(header));
        let known: Vec<(String, Column)> = Column::ALL
            .into_iter()
            .flat_map(|column| {
                let headers = market.headers(column).iter().map(String::as_str);
                let (russian, english) = column.label();
                let all = headers.chain([column.name(), russian, english]);
                all.map(move |header| (plain_header(&fold_header(header)), column))
            })
            .filter(|(known, _)| !known.is_empty())
            .collect();
        let column_of = |text: &str| known.iter().find(|(known, _)| known == text).map(|(_, column)| *column);
        // Short words are alike by chance: "п п" is not a misspelled "птс".
        let is_other = words.split(' ').any(|word| OTHERS.contains(&word));
        let typed = if words.chars().count() < 4 || is_other { "" } else { &words };
        let alike = nearest(typed, known.iter().map(|(known, _)| known.as_str())).and_then(column_of);
        // Of "Пр." the shortest header that starts so: "пр-г".
        let is_cut = header.trim_end().ends_with('.') && !words.is_empty();
        let begun = known.iter().filter(|(known, _)| is_cut && known.starts_with(&words));
        let begun = begun.min_by_key(|(known, _)| known.chars().count()).map(|(_, column)| *column);
        let has_all = |known: &str| known.split(' ').all(|word| words.split(' ').any(|other| other == word));
        let contained = known.iter().filter(|(known, _)| has_all(known)).max_by_key(|(known, _)| known.len());
        begun.or(alike).or(contained.map(|(_, column)| *column))
    }
}

/// The meaning of a folded header whose end is a unit of the column at its start.
fn with_unit(folded: &str, market: &Market, column_of: impl Fn(&str) -> Option<(Column, usize)>) -> Option<Heading> {
    let is_mark = |c: char| matches!(c, ' ' | ',' | '(' | ')' | '[' | ']');
    folded.rmatch_indices([' ', ',', '(', '[']).find_map(|(end, _)| {
        let (column, rank) = column_of(folded[..end].trim_end_matches(is_mark))?;
        let unit = folded[end..].trim_matches(is_mark);
        let unit = unit.strip_prefix("in ").or(unit.strip_prefix("в ")).unwrap_or(unit);
        is_unit(column, unit, market).then(|| Heading { column, rank, unit: Some(unit.to_owned()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(name: &str) -> &'static Market {
        Market::built_in().iter().find(|market| market.name() == name).unwrap()
    }

    #[test]
    fn headers_are_recognized_in_any_spelling_and_with_a_unit() {
        for (name, header, column, unit) in [
            ("ru", "  Год   Выпуска ", Column::Year, None),
            ("ru", "ОБЪЁМ", Column::EngineVolume, None),
            ("ru", "Vehicle Generation", Column::VehicleGeneration, None),
            ("ru", "л.с.", Column::EnginePower, None),
            ("ru", "\u{feff}brand", Column::Brand, None),
            ("ru", "Пробег, тыс. км", Column::Mileage, Some("тыс. км")),
            ("ru", "Пробег (км)", Column::Mileage, Some("км")),
            ("ru", "Цена, тыс. руб.", Column::Price, Some("тыс. руб.")),
            ("ru", "Двигатель, л", Column::EngineVolume, None),
            ("ru", "Объём двигателя (см³)", Column::EngineVolume, Some("см³")),
            ("ru", "Тип КПП", Column::Transmission, None),
            ("de", "Erstzulassung", Column::Year, None),
            ("de", "Leistung (kW)", Column::EnginePower, Some("kw")),
            ("de", "Leistung in PS", Column::EnginePower, Some("ps")),
            ("de", "Preis [€]", Column::Price, Some("€")),
            ("gb", "engine_power_kw", Column::EnginePower, Some("kw")),
            ("gb", "Mileage (km)", Column::Mileage, Some("km")),
            ("gb", "Asking price £", Column::Price, Some("£")),
            ("us", "Title status", Column::Pts, None),
            ("de", "kW", Column::EnginePower, Some("kw")),
            ("ru", "Цена розничная, руб.", Column::Price, Some("руб")),
            ("ru", "КП", Column::Transmission, None),
            ("ru", "вл.", Column::OwnersCount, None),
        ] {
            let heading = Heading::of(header, market(name)).unwrap_or_else(|| panic!("{name}: {header}"));
            assert_eq!((heading.column, heading.unit.as_deref()), (column, unit), "{name}: {header}");
        }
        for (name, header) in [("ru", "комментарий"), ("ru", "Price (£)"), ("gb", "price per month"), ("ru", "")]
        {
            assert_eq!(Heading::of(header, market(name)), None, "{name}: {header}");
        }
    }

    #[test]
    fn unrecognized_headers_get_a_suggestion() {
        for (header, expected) in [
            ("Пробек", Some(Column::Mileage)),
            ("Пробег по одометру на дату", Some(Column::Mileage)),
            ("Цена закупки", Some(Column::Price)),
            ("Пр.", Some(Column::Mileage)),
            ("Дв.", Some(Column::EngineVolume)),
            ("Г.", Some(Column::Year)),
            ("Мар.", Some(Column::Brand)),
            ("Цв.", Some(Column::Color)),
            ("Тел.", None),
            ("Комплектация", None),
            ("Модель, комплектация", Some(Column::Model)),
            ("Рег. знак", None),
            ("Кол-во ключей", None),
            ("Ответственный", None),
            ("№ п/п", None),
            ("", None),
        ] {
            assert_eq!(Heading::suggest(header, market("ru")), expected, "{header}");
        }
    }

    #[test]
    fn headers_of_cars_stand_for_makes_with_their_models() {
        let headers = "Автомобиль; ТС; Марка, модель; Марка/модель ТС; Марка и модель; Номенклатура; Make & Model; Vehicle; Fahrzeug; \
                       Marke / Modell";
        for header in headers.split("; ") {
            let heading = Heading::of(header, market("ru")).unwrap_or_else(|| panic!("{header}"));
            assert!(heading.is_of_cars() && heading.column == Column::Brand, "{header}");
        }
        for header in ["Марка", "Марка ТС", "Make of the car"] {
            assert!(!Heading::of(header, market("gb")).or(Heading::of(header, market("ru"))).unwrap().is_of_cars());
        }
        for header in ["№", "—", "***"] {
            assert_eq!(Heading::of(header, market("ru")), None, "{header}");
        }
    }

    /// Headers of dealers' lists as people write them, each with the columns that it must be recognized as; those after `|` are
    /// not columns of a listing.
    const DEALERS: [(&str, &str); 29] = [
        (
            "ru",
            "№ п/п; Кузов №; Модель №; Марка ТС=brand; Модель ТС=model; Г.в.=year; Пр-г=mileage; Об. дв.=engine_volume; КПП (тип)=transmission; VIN",
        ),
        (
            "ru",
            "Бренд=brand; Модель авто=model; Год вып.=year; Пробег (тыс.км)=mileage; Л.с.=engine_power; Цена закупки",
        ),
        ("ru", "МАРКА:=brand; МОДЕЛЬ:=model; ГОД ВЫПУСКА:=year; ПРОБЕГ, КМ:=mileage; ЦВЕТ:=color; ЦЕНА, РУБ.:=price"),
        (
            "ru",
            "Марка автомобиля*=brand; Модель автомобиля*=model; Год выпуска автомобиля*=year; Пробег автомобиля*=mileage",
        ),
        ("ru", "1. Марка=brand; 2. Модель=model; 3. Год=year; 4. Пробег=mileage; 5. Привод=drive; 6. Руль=wheel"),
        (
            "ru",
            "Изготовитель=brand; Модель=model; Выпуск=year; Километраж=mileage; Топл.=fuel_type; V двигателя (л)=engine_volume",
        ),
        ("ru", "марка а/м=brand; модель а/м=model; г/в=year; пробег а/м (км)=mileage; Гос. номер; Комментарий"),
        (
            "ru",
            "Двигатель, л=engine_volume; Тип топлива=fuel_type; Тип КПП=transmission; Пробег, тыс. км=mileage; Владельцев по ПТС=owners_count",
        ),
        (
            "ru",
            "Число владельцев=owners_count; Объём двигателя, л=engine_volume; Мощность, л. с.=engine_power; Коробка передач=transmission; Дата объявления=listing_date",
        ),
        (
            "ru",
            "Тип двс=fuel_type; Объем двс (см3)=engine_volume; Мощность двс (л.с.)=engine_power; Кор. передач=transmission",
        ),
        (
            "ru",
            "Кол-во собственников=owners_count; Вид ПТС=pts; Растаможка=customs; Город продажи=region; Дата поступления",
        ),
        ("ru", "Розничная цена, тыс. руб.=price; Цена выкупа; Дней на складе=days_listed; Скидка"),
        ("ru", "Тип кузова авто=body_type; Вид привода=drive; Положение руля=wheel; Техническое состояние=state"),
        (
            "ru",
            "Make=brand; Model=model; Year=year; Mileage, km=mileage; Engine volume, l=engine_volume; Gearbox=transmission; Driven wheels=drive",
        ),
        (
            "ru",
            "BRAND=brand; MODEL=model; VEHICLE_GENERATION=vehicle_generation; YEAR=year; MILEAGE=mileage; OWNERS_COUNT=owners_count",
        ),
        ("ru", "Марка\u{a0}=brand; Модель =model; Год\nвыпуска=year; Пробег\n(км)=mileage; Тип\nкоробки=transmission"),
        (
            "gb",
            "Make:=brand; Model:=model; Reg. year=year; Mileage (miles)=mileage; Engine size (cc)=engine_volume; Gearbox type=transmission; Reg no",
        ),
        (
            "gb",
            "Car make=brand; Car model=model; Year of manufacture=year; Odometer reading=mileage; Previous owners=owners_count; Asking price (£)=price; Notes",
        ),
        ("gb", "Vehicle make=brand; Vehicle model=model; Body-style=body_type; Fuel=fuel_type; Trade price"),
        (
            "de",
            "Marke=brand; Modell=model; Erstzulassung (MM/JJJJ); EZ=year; km-Stand=mileage; Leistung in kW=engine_power; Getriebe=transmission",
        ),
        (
            "de",
            "Hersteller=brand; Modellreihe=vehicle_generation; Baujahr=year; Laufleistung [km]=mileage; Hubraum (ccm)=engine_volume; Fahrgestellnr.",
        ),
        ("de", "Fahrzeug-Marke=brand; Farbe=color; Kraftstoffart=fuel_type; Preis in EUR=price; Einkaufspreis; HU bis"),
        (
            "us",
            "Make=brand; Model=model; Model year=year; Odometer (mi)=mileage; Drivetrain=drive; Title status=pts; Stock #",
        ),
        (
            "ru",
            "Марка (производитель)=brand; Модель/модификация=model; Пробег фактический=mileage; Кол-во л.с.=engine_power; Коробка переключения передач=transmission; Руль (Л/П)=wheel",
        ),
        (
            "ru",
            "Предмет лизинга=brand; Пробег, км (на дату осмотра); Местонахождение имущества=region; Рыночная стоимость, руб.=price; Регион учета=region",
        ),
        (
            "ru",
            "Авто=brand; Км=mileage; Хозяева=owners_count; Лошадей=engine_power; Движок, л=engine_volume; Бренд/Модель=brand; Год/мес=year; Пробег на момент приёмки, км=mileage; Оценка трейд-ин; Кол-во владельцев по ПТС=owners_count",
        ),
        (
            "gb",
            "Make & Model=brand; Derivative=vehicle_generation; Reg Date=year; Trans=transmission; No. of owners=owners_count; CAP Clean; MOT",
        ),
        (
            "de",
            "Marke / Modell=brand; Bj.=year; Kilometer-Stand=mileage; VK brutto=price; Anz. Vorbesitzer=owners_count; Unfallfrei",
        ),
        (
            "us",
            "Year=year; Make=brand; Trim=vehicle_generation; Miles=mileage; Transmission=transmission; Exterior color=color; Price ($)=price",
        ),
    ];

    #[test]
    fn headers_of_dealers_are_recognized_and_others_are_not() {
        for (name, headers) in DEALERS {
            for header in headers.split("; ") {
                let (header, expected) =
                    header.rsplit_once('=').map_or((header, None), |(header, name)| (header, Some(name)));
                let actual = Heading::of(header, market(name)).map(|heading| heading.column.name());
                assert_eq!(actual, expected, "{name}: {header:?}");
            }
        }
    }
}
