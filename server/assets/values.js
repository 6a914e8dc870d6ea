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
// Names that are written in capitals.
const CAPITALS = new Set(["bmw", "газ", "уаз", "ваз", "заз", "зил", "lada", "gmc", "byd", "gac", "jac", "faw", "mini", "ds", "mg", "uaz", "gaz"]);
const LOWER = new Set(["на", "де", "ла", "on", "de", "и", "and"]);

const fold = (text) => text.trim().replace(/\s+/g, " ").toLowerCase().replaceAll("ё", "е");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const isName = (field) => field === "brand" || field === "model" || field === "region";

/** A value in its usual capitals: only names have them. */
export function proper(field, value) {
  if (field === "vehicle_generation") {
    // III, XV50, G2x, X-Line.
    return value.replace(/\b[ivx]+\b/g, (numeral) => numeral.toUpperCase())
      .replace(/\b[a-z]+(?=\d)/g, (letters) => letters.toUpperCase()).replace(/(^|[ (/-])([a-z])/g, (whole, before, letter) => before + letter.toUpperCase());
  }
  if (!isName(field)) {
    return value;
  }
  return value.replace(/[\p{L}\d]+(?:-[\p{L}\d]+)*/gu, (word, at) => {
    if (/^\d+x\d+$/.test(word)) {
      return word;
    }
    // RAV4, CX-5, CR-V, RX, GLE.
    const isCode = field === "model" && (/^[a-z]{1,3}-?\d{1,2}$|^[a-z]\d{1,3}$|^[a-z]{1,2}(-[a-z])?$|^gl[a-z]$/.test(word));
    if (isCode || CAPITALS.has(word)) {
      return word.toUpperCase();
    }
    const parts = word.split("-");
    return parts.map((part, place) => (place + at > 0 && LOWER.has(part)) || part === "класс" ? part : capital(part)).join("-");
  });
}

/** A value in a language of the page. */
export function translated(field, value, language) {
  const text = String(value);
  const spellings = spellingsOf(field, text);
  if (!spellings) {
    return proper(field, text);
  }
  return proper(field, language === "en" ? spellings[1] : spellings[0]);
}

/** The spelling of a typed value that the model knows, which may be that of the other language. */
export function known(field, text, values) {
  const spellings = spellingsOf(field, text) || [];
  const spelling = spellings.find((other) => values.includes(fold(other)));
  return spelling && !values.includes(fold(text)) ? spelling : text;
}

function spellingsOf(field, text) {
  return (SPELLINGS[field] || []).find((spellings) => spellings.some((spelling) => fold(spelling) === fold(text)));
}
