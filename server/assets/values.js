// Known values as people write them, and in the other language. The model knows them in lower case, in that of its market.

// The Russian spelling, the English one, and others that people use.
const SPELLINGS = {
  body_type: [
    ["седан", "saloon", "sedan"], ["внедорожник 5 дв.", "SUV, 5 doors"], ["внедорожник 3 дв.", "SUV, 3 doors"],
    ["хэтчбек 5 дв.", "hatchback, 5 doors"], ["хэтчбек 3 дв.", "hatchback, 3 doors"], ["хэтчбек", "hatchback"],
    ["универсал 5 дв.", "estate, 5 doors"], ["универсал", "estate"], ["лифтбек", "liftback"], ["купе", "coupe"],
    ["кабриолет", "convertible"], ["минивэн", "MPV", "minivan"], ["фургон", "van"], ["пикап", "pickup"],
    ["пикап двойная кабина", "pickup, double cab"], ["внедорожник", "SUV"],
  ],
  fuel_type: [
    ["бензин", "petrol"], ["дизель", "diesel"], ["гибрид", "hybrid"], ["электро", "electric"], ["газ", "LPG"],
    ["подключаемый гибрид", "plug-in hybrid"], ["бензин, газобаллонное оборудование", "petrol and LPG"], ["другое", "other"],
  ],
  transmission: [
    ["автоматическая", "automatic", "акпп", "автомат"], ["механическая", "manual", "мкпп", "механика"],
    ["роботизированная", "automated manual", "робот"],
    ["вариатор", "CVT"], ["полуавтоматическая", "semi-auto"], ["другая", "other"],
  ],
  drive: [
    ["полный", "four-wheel", "four wheel drive"], ["передний", "front-wheel", "front wheel drive"],
    ["задний", "rear-wheel", "rear wheel drive"],
  ],
  wheel: [["левый", "left"], ["правый", "right"]],
  state: [
    ["не требует ремонта", "no repairs needed"], ["битый / не на ходу", "damaged or not running"],
    ["с пробегом", "used"], ["битая", "damaged"],
  ],
  pts: [["оригинал", "original"], ["дубликат", "duplicate"], ["электронный", "electronic"]],
  customs: [["растаможен", "cleared"], ["не растаможен", "not cleared"]],
  region: [
    ["москва", "moscow"], ["санкт-петербург", "saint petersburg"], ["новосибирск", "novosibirsk"],
    ["екатеринбург", "yekaterinburg"], ["казань", "kazan"], ["нижний новгород", "nizhny novgorod"], ["самара", "samara"],
    ["краснодар", "krasnodar"], ["ростов-на-дону", "rostov-on-don"], ["владивосток", "vladivostok"],
  ],
  color: [
    ["черный", "black"], ["белый", "white"], ["серый", "grey"], ["серебристый", "silver"], ["синий", "blue"],
    ["голубой", "light blue"], ["красный", "red"], ["зеленый", "green"], ["коричневый", "brown"], ["бежевый", "beige"],
    ["желтый", "yellow"], ["оранжевый", "orange"], ["фиолетовый", "purple"], ["золотой", "gold"],
  ],
};
// Words of names that are not written with one capital.
const SPELLED = Object.fromEntries([
  "BMW", "ГАЗ", "УАЗ", "ВАЗ", "ЗАЗ", "ЗИЛ", "ТагАЗ", "ЛуАЗ", "ИЖ", "ГАЗель", "LADA", "GMC", "BYD", "GAC", "JAC", "FAW", "MINI", "DS", "MG", "UAZ", "GAZ",
  "SsangYong", "EXEED", "OMODA", "SEAT", "JAECOO", "RAM", "DongFeng", "McLaren", "AC", "XRAY", "ProCeed", "HiAce", "ISis", "EcoSport", "TrailBlazer",
  "FunCargo", "CLA", "ASX", "AMG", "GTI", "MAX", "USA", "Fe", "Up", "Mk", "allroad", "on-DO", "mi-DO", "серии", "область", "край", "район", "округ",
  "городское", "поселение", "имени", "совхоза", "административный",
].map((word) => [word.toLowerCase(), word]));
const LOWER = new Set(["на", "де", "ла", "on", "de", "и", "and"]);

const fold = (text) => text.trim().replace(/\s+/g, " ").toLowerCase().replaceAll("ё", "е");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const isName = (field) => field === "brand" || field === "model" || field === "region";

/** A value in its usual capitals: only names have them. */
export function proper(field, value) {
  if (field === "vehicle_generation") {
    return value.replace(/[a-z\d-]+/g, properCode);
  }
  if (!isName(field)) {
    return value;
  }
  return value.replace(/[\p{L}\d]+(?:-[\p{L}\d]+)*/gu, (word, at) => {
    if (/^\d+x\d+$/.test(word) || (field === "model" && /^ix?\d/.test(word))) {
      return word;
    }
    if (SPELLED[word]) {
      return field === "model" || at > 0 || !LOWER_WORDS.test(word) ? SPELLED[word] : capital(word);
    }
    if (field === "model" && isModelCode(word)) {
      return word.replace(/^[a-z-]+/, (letters) => letters.toUpperCase()).replace(/^([^\d]+\d[a-z]?)$/, (code) => code.toUpperCase());
    }
    const parts = word.split("-");
    const isClass = parts.includes("класс");
    return parts.map((part, place) => {
      if (place + at > 0 && LOWER.has(part)) {
        return part;
      }
      return SPELLED[part] || (isClass && part !== "класс" ? part.toUpperCase() : capital(part));
    }).join("-");
  });
}

const LOWER_WORDS = /^(серии|область|край|район|округ|городское|поселение|имени|совхоза|административный)$/;

/** RAV4, CX-5, CR-V, RX, GLE, RX450h, WRX. */
function isModelCode(word) {
  return /^[a-z]{1,3}-?\d{1,3}[a-z]?$|^[a-z]{1,2}(-[a-z]{1,2})?$|^gl[a-z]$|^[bcdfghjklmnpqrstvwxz]{3,4}$/.test(word);
}

/** III, XV50, G2x, GJ, Mk5, X-Line. */
function properCode(word) {
  if (/^[ivx]+$/.test(word) || /^[a-z]{2}$/.test(word)) {
    return word.toUpperCase();
  }
  if (/^mk\d/.test(word)) {
    return capital(word);
  }
  if (/\d/.test(word)) {
    return word.replace(/[a-wyz]|x(?=\d|[a-z]+\d)/g, (letter) => letter.toUpperCase());
  }
  return word.split("-").map(capital).join("-");
}

// Words within names, which English pages write in English.
const WITHIN_NAMES = { model: [["Класс", "Class"], ["серии", "Series"]], vehicle_generation: [["рестайлинг", "restyling"], ["н. в.", "today"]] };

/** A name with its words in English, or back in Russian. */
function inEnglish(field, text, isEnglish) {
  const words = WITHIN_NAMES[field] || [];
  return words.reduce((name, [russian, english]) =>
    (isEnglish ? name.replace(russian, english) : name.replace(new RegExp(english, "i"), russian.toLowerCase())), text);
}

/** A value in a language of the page. */
export function translated(field, value, language) {
  const text = String(value);
  const spellings = spellingsOf(field, text);
  if (!spellings) {
    return inEnglish(field, proper(field, text), language === "en");
  }
  return proper(field, language === "en" ? spellings[1] : spellings[0]);
}

/** The spelling of a typed value that the model knows, which may be that of the other language. */
export function known(field, text, values) {
  const spellings = spellingsOf(field, text) || [];
  const spelling = [...spellings, inEnglish(field, text, false)].find((other) => values.includes(fold(other)));
  return spelling && !values.includes(fold(text)) ? spelling : text;
}

function spellingsOf(field, text) {
  return (SPELLINGS[field] || []).find((spellings) => spellings.some((spelling) => fold(spelling) === fold(text)));
}
