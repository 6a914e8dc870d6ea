"use strict";
// The texts of the page in both languages.
const WORDS = {
  ru: {
    skip: "К форме", docs: "API", title: "Сколько стоит подержанная машина",
    honest: "Цены — из объявлений: столько просят, а не столько, за сколько машина в итоге продана.",
    key: "Этому серверу нужен ключ API:", car: "Машина", value: "Оценить", clear: "Очистить", result: "Оценка",
    hint: "Обязательны марка, год и пробег. Чем больше известно, тем точнее цена.",
    empty: "Здесь появятся цена, диапазон и то, что на неё влияет.", factors: "Что влияет на цену",
    compared: "На сколько машина дороже или дешевле такой же, но десятилетней, с пробегом 15 000 км в год или, для остальных полей, без этих сведений. Проценты не складываются.",
    many: "Много машин сразу", file: "Файл .xlsx", send: "Оценить таблицу", template: "Скачать шаблон",
    workbook: "Загрузите таблицу Excel: она вернётся той же, с ценами и пояснениями в новых столбцах.",
    range: (level, low, high) => `${level} таких машин предлагают за ${low} – ${high}`,
    model: (version, date) => `Модель ${version}, цена на ${date}`,
    unknown: (field, value, nearest) =>
      `${field}: «${value}» нет среди известных значений${nearest ? ` (может быть, ${nearest}?)` : ""}, машина оценена без него.`,
    outdated: (newest, date) =>
      `Самое новое объявление, на котором основана цена, — от ${newest}. С тех пор цены могли измениться, поэтому на ${date} диапазон шире.`,
    working: "Считаем…", valued: (rows) => `Считаем… оценено строк: ${rows}`, done: "Готово: файл сохранён.", offline: "Сервер не отвечает. Попробуйте ещё раз.",
    noModel: "Модель ещё не обучена. Запустите probeg train --promote: сервер подхватит её сам.",
    unknownMake: (value, nearest) => `Марки «${value}» нет среди известных${nearest ? `. Может быть, ${nearest}?` : "."}`,
    anyway: "Оценить без марки", check: "Проверьте отмеченные поля.", required: "обязательно", date: "ru-RU",
    errors: {
      missing: "Заполните это поле", not_a_number: "Нужно число", not_an_integer: "Нужно целое число",
      out_of_range: "Значение вне допустимых границ", not_a_date: "Нужна дата", too_long: "Слишком длинно",
      date_out_of_range: "Дата вне допустимых границ", not_a_text: "Нужен текст",
    },
  },
  en: {
    skip: "To the form", docs: "API", title: "What a used car is worth",
    honest: "Prices come from listings: what sellers ask, not what a car is finally sold for.",
    key: "This server requires an API key:", car: "The car", value: "Value it", clear: "Clear", result: "Valuation",
    hint: "Make, year and mileage are required. The more you fill in, the more accurate the price.",
    empty: "The price, its range and what moves it will appear here.", factors: "What moves the price",
    compared: "How much more or less the car costs than the same car at ten years old, at 15,000 km a year or, for the other fields, with that detail left out. The percentages do not add up.",
    many: "Many cars at once", file: "An .xlsx file", send: "Value the workbook", template: "Download the template",
    workbook: "Upload an Excel workbook: you get it back with prices and notes in new columns.",
    range: (level, low, high) => `${level} of similar cars are offered for ${low} – ${high}`,
    model: (version, date) => `Model ${version}, price as of ${date}`,
    unknown: null,
    outdated: (newest, date) =>
      `The newest listing behind this price is of ${newest}. Prices may have changed since, so the range for ${date} is wider.`,
    working: "Working…", valued: (rows) => `Working… ${rows} rows valued`, done: "Done: the file has been saved.", offline: "The server does not respond. Try again.",
    noModel: "No model has been trained yet. Run probeg train --promote: the server will load it by itself.",
    unknownMake: (value, nearest) => `The make "${value}" is not known${nearest ? `. Did you mean ${nearest}?` : "."}`,
    anyway: "Value it without the make", check: "Check the marked fields.", required: "required", date: "en-GB",
    errors: {},
  },
};
