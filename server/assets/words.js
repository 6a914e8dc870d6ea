// The texts of the page in both languages.

/** The form of a Russian noun after a count: 1 день, 2 дня, 5 дней. */
function plural(count, one, few, many) {
  const form = new Intl.PluralRules("ru").select(count);
  return { one, few, many }[form] || few;
}

export const WORDS = {
  ru: {
    locale: "ru-RU",
    skip: "К форме", docs: "API", title: "Сколько стоит подержанная машина",
    honest: "Цены — из объявлений: столько просят, а не столько, за сколько машина в итоге продана.",
    key: "Этому серверу нужен ключ API:", car: "Машина", more: "Ещё о машине", value: "Оценить", clear: "Очистить",
    result: "Оценка", empty: "Здесь появятся цена, диапазон и то, что на неё влияет.",
    required: "* — обязательные поля", optional: "необязательно", working: "Считаем…", asking: "За сколько её предлагают",
    task: "Что оценивать",
    targets: { price: "цена в объявлении", sale_price: "цена продажи", days_listed: "дней в продаже" },
    miles: "мили", milesOf: (count) => plural(count, "миля", "мили", "миль"), days: (count, shown) => `${shown} ${Number.isInteger(count) ? plural(Math.abs(count), "день", "дня", "дней") : "дня"}`,
    range: (level, low, high) => `${level} таких машин предлагают за ${low} – ${high}`,
    distribution: (low, price, high, asked) =>
      `Как распределены цены таких машин: чаще всего около ${price}, обычно от ${low} до ${high}${asked ? `; предлагают за ${asked}` : ""}.`,
    confidence: { high: "Цена надёжная", medium: "Цена довольно надёжная", low: "Цена приблизительная" },
    similarListings: (count, shown) => `${shown} ${plural(count, "похожее объявление", "похожих объявления", "похожих объявлений")}`,
    noSimilarListings: "похожих объявлений нет", market: (month) => `данные по ${month}`,
    typicalError: (share) => `обычная ошибка ${share}`,
    rating: {
      far_below: "намного ниже обычной: проверьте, почему так дёшево", below: "ниже обычной", fair: "обычная",
      above: "выше обычной", far_above: "намного выше обычной",
    },
    rated: (price, rating, below) => `Цена ${price} — ${rating}. Дешевле предлагают ${below} таких машин.`,
    unrated: {
      unknown_car: (price) => `Цену ${price} сравнить не с чем: модель не указана или неизвестна.`,
      range_too_wide: (price, spread) =>
        `Оценить цену ${price} нельзя: у половины таких машин она отличается от ожидаемой больше чем на ${spread}.`,
    },
    askedFor: (price) => `просят ${price}`,
    next: "Что ещё сообщить",
    question: (field, share) => [field, `диапазон станет уже примерно на ${share}`],
    factors: "Из чего складывается цена",
    baseline: {
      listings: (count) => `От обычной машины этой модели и года (по ${count} ${plural(count, "объявлению", "объявлениям", "объявлениям")}) — к этой. Суммы складываются в цену.`,
      assumed: "Таких объявлений мало, поэтому сравниваем с машиной, у которой обычный пробег для её возраста. Суммы складываются в цену.",
    },
    usual: "Обычная такая машина", total: "Эта машина", instead: (value, usual) => `${value} (обычно ${usual})`,
    asUsual: (names) => `Как у обычной машины: ${names}.`,
    none: "не указано", similar: "Похожие машины", adjusted: "Каждая — ещё и в пересчёте на эту машину.",
    listed: { price: "в объявлении", sale_price: "продана за", days_listed: "в продаже" }, forThis: "для этой машины", same: "отличий в указанном нет",
    difference: (field, listed, own) => `${field}: ${listed}, у этой ${own}`,
    curves: "А если…", byMileage: (unit) => `…пробег другой, ${unit}`, byYears: (yearly) => `…продавать позже (${yearly} в год)`,
    byDate: "…на рынке прошлых лет", now: "сейчас",
    years: (count) => `через ${count} ${plural(count, "год", "года", "лет")}`,
    values: "Числа таблицей", expected: "Ожидается", from: "от", to: "до",
    model: (version, date) => `Модель ${version}, цена на ${date}`,
    quoted: (text) => `«${text}»`,
    outdated: (newest, date) =>
      `Самое новое объявление, на котором основана цена, — от ${newest}. С тех пор цены могли измениться, поэтому на ${date} диапазон шире.`,
    withoutSimilar: "Похожие объявления сейчас недоступны; на цену это не влияет.",
    otherWarning: "Есть замечание, которое эта страница не знает; его текст — в ответе API.",
    many: "Много машин сразу", file: "Файл .xlsx", send: "Оценить таблицу", template: "Скачать шаблон",
    workbook: "Загрузите таблицу Excel: она вернётся той же, с ценами и пояснениями в новых столбцах.",
    valued: (count, shown) => `Считаем… оценено строк: ${shown}`, done: "Готово: файл сохранён.",
    doneWithout: (columns) => `Готово: файл сохранён. Не использованы столбцы: ${columns}.`,
    offline: "Сервер не отвечает. Попробуйте ещё раз.", check: "Проверьте отмеченные поля.",
    unknownName: (field, value, hasNearest) =>
      `${{ brand: "Марки", model: "Модели" }[field] || "Поколения"} «${value}» нет среди известных.${hasNearest ? " Может быть, это" : ""}`,
    assumed: "Версия — самая частая среди таких машин. Поправьте, если у вас другая.",
    assumedVersion: (texts) => `Предположили: ${texts}.`,
    waiting: (fields) => `Цена появится здесь, как только будут указаны: ${fields}.`, unfinished: "Цена появится здесь, когда поля будут заполнены верно.",
    announced: (price, range) => `Цена: ${price}. ${range}.`,
    anyway: "Оценить без марки", fillIn: "Заполните это поле", which: "Что имеется в виду?",
    // What differs where something else than an asking price is predicted.
    variants: {
      sale_price: { range: (level, low, high) => `${level} таких машин продают за ${low} – ${high}` },
      days_listed: {
        title: "Как долго продаётся подержанная машина", empty: "Здесь появятся срок, диапазон и то, что на него влияет.",
        range: (level, low, high) => `${level} таких машин продаются за ${low} – ${high}`,
        distribution: (low, days, high) => `Как распределены сроки продажи таких машин: чаще всего около ${days}, обычно от ${low} до ${high}.`,
        confidence: { high: "Срок надёжный", medium: "Срок довольно надёжный", low: "Срок приблизительный" },
        factors: "Из чего складывается срок",
        baseline: {
          listings: (count) => `От обычной машины этой модели и года (по ${count} ${plural(count, "объявлению", "объявлениям", "объявлениям")}) — к этой. Дни складываются в срок.`,
          assumed: "Таких объявлений мало, поэтому сравниваем с машиной, у которой обычный пробег для её возраста. Дни складываются в срок.",
        },
        model: (version, date) => `Модель ${version}, срок на ${date}`,
        outdated: (newest, date) =>
          `Самое новое объявление, на котором основан срок, — от ${newest}. С тех пор рынок мог измениться, поэтому на ${date} диапазон шире.`,
        withoutSimilar: "Похожие объявления сейчас недоступны; на срок это не влияет.",
      },
    },
  },
  en: {
    locale: "en-GB",
    skip: "To the form", docs: "API", title: "What a used car is worth",
    honest: "Prices come from listings: what sellers ask, not what a car is finally sold for.",
    key: "This server requires an API key:", car: "The car", more: "More about the car", value: "Value it", clear: "Clear",
    result: "Valuation", empty: "The price, its range and what moves it will appear here.",
    required: "* required", optional: "optional", working: "Working…", asking: "What it is offered for",
    task: "What to value",
    targets: { price: "asking price", sale_price: "sale price", days_listed: "days listed" },
    miles: "miles", milesOf: (count) => (count === 1 ? "mile" : "miles"), days: (count, shown) => `${shown} ${Math.abs(count) === 1 ? "day" : "days"}`,
    range: (level, low, high) => `${level} of such cars are offered for ${low} – ${high}`,
    distribution: (low, price, high, asked) =>
      `How the prices of such cars are distributed: mostly about ${price}, usually from ${low} to ${high}${asked ? `; offered for ${asked}` : ""}.`,
    confidence: { high: "A reliable price", medium: "A fairly reliable price", low: "A rough price" },
    similarListings: (count, shown) => `${shown} similar ${count === 1 ? "listing" : "listings"}`,
    noSimilarListings: "no similar listings", market: (month) => `market of ${month}`,
    typicalError: (share) => `typical error ${share}`,
    rating: {
      far_below: "far below the usual one: check why it is so cheap", below: "below the usual one", fair: "a usual one",
      above: "above the usual one", far_above: "far above the usual one",
    },
    rated: (price, rating, below) => `The price of ${price} is ${rating}. ${below} of such cars are offered for less.`,
    unrated: {
      unknown_car: (price) => `There is nothing to compare ${price} with: the model is not stated or not known.`,
      range_too_wide: (price, spread) =>
        `${price} cannot be rated: half of such cars are offered for a price that differs from the expected one by more than ${spread}.`,
    },
    askedFor: (price) => `asking ${price}`,
    next: "What to tell next",
    question: (field, share) => [field, `narrows the range by about ${share}`],
    factors: "What the price is made of",
    baseline: {
      listings: (count) => `From the usual car of this model and year (${count} ${count === 1 ? "listing" : "listings"}) to this one. The amounts add up to the price.`,
      assumed: "There are few such listings, so this compares with a car of the usual mileage for its age. The amounts add up to the price.",
    },
    usual: "The usual such car", total: "This car", instead: (value, usual) => `${value} (usually ${usual})`,
    asUsual: (names) => `As usual: ${names}.`,
    none: "not stated", similar: "Similar cars", adjusted: "Each is also adjusted to this car.",
    listed: { price: "asked for", sale_price: "sold for", days_listed: "listed for" }, forThis: "for this car", same: "no differences in what is stated",
    difference: (field, listed, own) => `${field}: ${listed}, this one ${own}`,
    curves: "What if…", byMileage: (unit) => `…the mileage were different, ${unit}`, byYears: (yearly) => `…you sell later (${yearly} a year)`,
    byDate: "…in the market of earlier years", now: "now",
    years: (count) => `in ${count} ${count === 1 ? "year" : "years"}`,
    values: "The figures as a table", expected: "Expected", from: "from", to: "to",
    model: (version, date) => `Model ${version}, price as of ${date}`,
    quoted: (text) => `"${text}"`,
    outdated: (newest, date) =>
      `The newest listing behind this price is of ${newest}. Prices may have changed since, so the range for ${date} is wider.`,
    withoutSimilar: "Similar listings are not available at the moment; the price does not depend on them.",
    otherWarning: "There is a remark that this page does not know; its text is in the answer of the API.",
    many: "Many cars at once", file: "An .xlsx file", send: "Value the workbook", template: "Download the template",
    workbook: "Upload an Excel workbook: you get it back with prices and notes in new columns.",
    valued: (count, shown) => `Working… ${shown} ${count === 1 ? "row" : "rows"} valued`, done: "Done: the file has been saved.",
    doneWithout: (columns) => `Done: the file has been saved. Columns that were not used: ${columns}.`,
    offline: "The server does not respond. Try again.", check: "Check the marked fields.",
    unknownName: (field, value, hasNearest) =>
      `The ${{ brand: "make", model: "model" }[field] || "generation"} "${value}" is not known.${hasNearest ? " Did you mean" : ""}`,
    assumed: "The version is the most frequent one of such cars. Change it if yours is another.",
    assumedVersion: (texts) => `Assumed: ${texts}.`,
    waiting: (fields) => `The price will appear here as soon as these are filled in: ${fields}.`, unfinished: "The price will appear here once the fields are filled in correctly.",
    announced: (price, range) => `Price: ${price}. ${range}.`,
    anyway: "Value it without the make", fillIn: "Fill in this field", which: "Which one do you mean?",
    variants: {
      sale_price: { range: (level, low, high) => `${level} of such cars are sold for ${low} – ${high}` },
      days_listed: {
        title: "How long a used car is listed", empty: "The time, its range and what moves it will appear here.",
        range: (level, low, high) => `${level} of such cars are listed for ${low} – ${high}`,
        distribution: (low, days, high) => `How long such cars are listed: mostly about ${days}, usually from ${low} to ${high}.`,
        confidence: { high: "A reliable time", medium: "A fairly reliable time", low: "A rough time" },
        factors: "What the time is made of",
        baseline: {
          listings: (count) => `From the usual car of this model and year (${count} ${count === 1 ? "listing" : "listings"}) to this one. The days add up to the time.`,
          assumed: "There are few such listings, so this compares with a car of the usual mileage for its age. The days add up to the time.",
        },
        model: (version, date) => `Model ${version}, time as of ${date}`,
        outdated: (newest, date) =>
          `The newest listing behind this time is of ${newest}. The market may have changed since, so the range for ${date} is wider.`,
        withoutSimilar: "Similar listings are not available at the moment; the time does not depend on them.",
      },
    },
  },
};
