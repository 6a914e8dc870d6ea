// Amounts, shares, dates and values as the language of the page writes them.
import { columnOf, isInMiles, page, unitOf, words } from "./page.js";
import { translated } from "./values.js";

export function number(value, options = {}) {
  return new Intl.NumberFormat(words().locale, options).format(value).replace("-", "−");
}

export function percent(share) {
  return number(share, { style: "percent", maximumFractionDigits: 0 });
}

/** More significant digits than four would suggest more precision than the model has. */
export function stepOf(valuation) {
  return 10 ** Math.max(0, Math.floor(Math.log10(Math.max(valuation.price, 1))) - 3);
}

/** An amount in the unit of a valuation, rounded like its price. */
export function money(amount, valuation, options = {}) {
  const step = stepOf(valuation);
  return exactly(Math.round(amount / step) * step, valuation, options);
}

/** An amount in the unit of a valuation; `signDisplay: "exceptZero"` marks a difference. */
export function exactly(amount, valuation, options = {}) {
  if (valuation.unit === "days") {
    return words().days(amount, number(amount, options));
  }
  const format = { style: "currency", currency: valuation.unit, currencyDisplay: "narrowSymbol", maximumFractionDigits: 0 };
  return number(amount, { ...format, ...options });
}

/** A short amount for the axis of a chart. */
export function shortly(amount, valuation) {
  const format = { notation: "compact", maximumFractionDigits: 1 };
  const currency = { style: "currency", currency: valuation.unit, currencyDisplay: "narrowSymbol" };
  return number(amount, valuation.unit === "days" ? format : { ...format, ...currency });
}

/** Rounds amounts to a step so that they still add up to a total, which is a multiple of the step. */
export function roundToTotal(amounts, total, step) {
  const floors = amounts.map((amount) => Math.floor(amount / step));
  let missing = Math.round(total / step) - floors.reduce((sum, floor) => sum + floor, 0);
  const order = amounts.map((amount, at) => at).sort((a, b) => (amounts[b] / step - floors[b]) - (amounts[a] / step - floors[a]));
  for (const at of order) {
    if (missing <= 0) {
      break;
    }
    floors[at] += 1;
    missing -= 1;
  }
  return floors.map((floor) => floor * step);
}

/** A date as the language of the page writes it. */
export function day(date, options = {}) {
  return new Date(`${date}T12:00:00`).toLocaleDateString(words().locale, options);
}

export const month = (date) => day(date, { month: "long", year: "numeric" });

/** A value of a field with its unit. */
export function shown(field, value) {
  if (value === null || value === undefined) {
    return words().none;
  }
  const column = columnOf(field);
  if (typeof value === "number") {
    const unit = isInMiles(field) ? words().milesOf(value) : unitOf(field);
    const text = field === "year" ? String(value) : number(value, { maximumFractionDigits: 1 });
    return unit ? `${text}\u00a0${unit}` : text;
  }
  if (column && column.kind === "date") {
    return day(value);
  }
  return translated(field, value, page.language);
}
