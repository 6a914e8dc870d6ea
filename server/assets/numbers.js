// Numbers as people write them: "83 тыс", "83 000 км", "1600 см³", "2018 г.". A text with two meanings is asked about.
import { columnOf, isInMiles } from "./page.js";

const KM_PER_MILE = 1.609344;
const HP_PER_KW = 1.35962;
const KILOMETRES = ["км", "km", "kms", "километров", "километра"];
const MILES = ["miles", "mile", "mi", "m", "мили", "миль"];
const CURRENCIES = ["₽", "р", "руб", "рублей", "rub", "£", "gbp", "€", "eur", "$", "usd"];
// The units of each field without dots and spaces.
const UNITS = {
  year: ["г", "год", "года", "гв"],
  engine_volume: ["л", "l", "литр", "литра", "литров", "litre", "litres"],
  engine_power: ["лс", "hp", "bhp", "ps", "сил"],
  owners_count: ["+", "иболее", "илиболее", "владелец", "владельца", "владельцев", "owner", "owners", "ormore"],
  asking_price: CURRENCIES,
};
const CUBIC_CENTIMETRES = ["см³", "см3", "кубсм", "куб", "cc", "сс", "ccm", "cm³", "cm3"];
const KILOWATTS = ["квт", "kw"];
const THOUSANDS = /^(тысячи|тысяч|тыс|т|tsd|t|k|к)/;
const MILLIONS = /^(миллионов|миллиона|миллион|млн|mln|mio)/;
// Volumes from here on are in cubic centimetres.
const MIN_CUBIC_CENTIMETRES = 100;

/** The bounds of a field in its unit on the page; the last year is the next one. */
export function boundsOf(field) {
  const { min, max } = columnOf(field) || { min: 1, max: 1e10 };
  if (field === "year") {
    return [min, new Date().getFullYear() + 1];
  }
  return isInMiles(field) ? [min, Math.floor(max / KM_PER_MILE)] : [min, max];
}

/** Reads a number. Returns `{ value }`, `{ choices }` if it can be read in two ways, or null. */
export function readNumber(field, text) {
  const plain = text.toLowerCase().replace(/[\s\u00a0\u202f]+/g, " ").replace(/[−–]/g, "-").trim()
    .replace(/^(~|≈|около|примерно|about) ?/, "").replace(/^[₽£€$] ?/, "");
  const parts = /^(-?\d+(?:[ .,']\d+)*)(.*)$/.exec(plain);
  if (!parts) {
    return null;
  }
  const scale = scaleOf(field, parts[2].replace(/[. ]/g, ""));
  if (!scale) {
    return null;
  }
  const readings = readingsOf(parts[1]).map((number) => scale(number));
  const [min, max] = boundsOf(field);
  const fitting = readings.filter((number) => number >= min && number <= max);
  if (field === "engine_volume" && readings.length > 1) {
    return { value: readings[0] };
  }
  if (fitting.length > 1 && fitting[0] !== fitting[1]) {
    // Nobody writes three decimals of a kilometre after a comma.
    return parts[1].includes(",") ? { value: fitting[1] } : { choices: fitting };
  }
  return readings.length ? { value: fitting.length ? fitting[0] : readings[0] } : null;
}

/** What the digits may mean: with a decimal separator, and with separators of thousands. */
function readingsOf(digits) {
  const readings = [];
  const decimal = /^(-?\d+(?:[ ']\d{3})*)[.,](\d+)$/.exec(digits) || /^(-?\d{1,3}(?:,\d{3})+)\.(\d+)$/.exec(digits) ||
    /^(-?\d{1,3}(?:\.\d{3})+),(\d+)$/.exec(digits);
  if (decimal) {
    readings.push(Number(`${decimal[1].replace(/[ .,']/g, "")}.${decimal[2]}`));
  }
  if (/^-?\d+$/.test(digits) || /^-?[1-9]\d{0,2}(?:([ .,'])\d{3})(?:\1\d{3})*$/.test(digits)) {
    readings.push(Number(digits.replace(/[ .,']/g, "")));
  }
  return readings;
}

/** How a number with this unit becomes a number in the unit of the field; null if the unit does not fit. */
function scaleOf(field, unit) {
  const round = (number, digits) => Number(number.toFixed(digits));
  const whole = (number) => round(number, 6);
  const own = field === "mileage" ? (isInMiles(field) ? MILES : KILOMETRES) : UNITS[field] || [];
  if (field === "engine_volume") {
    const litres = (number) => round(number / 1000, 1);
    if (CUBIC_CENTIMETRES.includes(unit)) {
      return litres;
    }
    const isBare = unit === "";
    return isBare || own.includes(unit) ? (number) => (isBare && number >= MIN_CUBIC_CENTIMETRES ? litres(number) : number) : null;
  }
  if (field === "engine_power" && KILOWATTS.includes(unit)) {
    return (number) => Math.round(number * HP_PER_KW);
  }
  if (unit === "" || own.includes(unit)) {
    return whole;
  }
  if (field === "mileage" && isInMiles(field) && KILOMETRES.includes(unit)) {
    return (number) => Math.round(number / KM_PER_MILE);
  }
  if (field === "mileage" || field === "asking_price") {
    const fits = (rest) => rest === "" || own.includes(rest);
    if (THOUSANDS.test(unit) && fits(unit.replace(THOUSANDS, ""))) {
      return (number) => whole(number * 1000);
    }
    if (MILLIONS.test(unit) && fits(unit.replace(MILLIONS, ""))) {
      return (number) => whole(number * 1e6);
    }
  }
  return null;
}
