// The form: its fields, suggestions, what is wrong with them, and the address that restores them.
import { COLUMNS } from "./columns.js";
import { number } from "./amounts.js";
import { byId, call, element, inTask, labelOf, page, words } from "./page.js";
import { capital, known, translated } from "./values.js";

// The fields in sight: what people know first, then the version of the car. The others are folded away.
const FIRST = [
  "brand", "model", "year", "mileage", "vehicle_generation", "fuel_type", "engine_volume", "engine_power", "transmission", "drive",
];
export const ASKING_PRICE = "asking_price";

// The known values of each text field, as the server spells them.
let vocabulary = {};
// What explains the error of each invalid field, in the language of the page.
const explanations = new Map();

const inputOf = (name) => byId(`field-${name}`);
const names = () => [...COLUMNS.map(({ name }) => name), ASKING_PRICE];

export function buildFields() {
  const first = FIRST.map((name) => COLUMNS.find((column) => column.name === name));
  const others = COLUMNS.filter(({ name }) => !FIRST.includes(name));
  byId("fields").append(...first.map(fieldOf));
  byId("more-fields").append(...others.map(fieldOf));
  byId("asking").append(fieldOf({ name: ASKING_PRICE, kind: "number", required: false }));
}

function fieldOf({ name, kind, required }) {
  const input = element("input", {
    name, id: `field-${name}`, autocomplete: "off", required,
    type: kind === "date" ? "date" : "text", inputMode: kind === "number" ? "decimal" : "text",
  });
  input.setAttribute("aria-describedby", `error-${name}`);
  const label = element("label", { htmlFor: input.id }, element("span", { id: `label-${name}` }));
  const error = element("small", { id: `error-${name}` });
  const field = element("div", { id: `box-${name}` }, label, input, error);
  if (kind === "text") {
    input.setAttribute("list", `known-${name}`);
    field.append(element("datalist", { id: `known-${name}` }));
  }
  return field;
}

export function translateFields() {
  for (const { name, required } of COLUMNS) {
    byId(`label-${name}`).textContent = required ? `${labelOf(name)} *` : labelOf(name);
  }
  const symbol = page.task ? `, ${page.task.symbol}` : "";
  byId(`label-${ASKING_PRICE}`).textContent = `${words().asking}${symbol} (${words().optional})`;
  byId("asking").hidden = page.task !== null && page.task.target !== "price";
  fillKnown();
  for (const [name, explain] of explanations) {
    byId(`error-${name}`).replaceChildren(...explain());
  }
  for (const { name, kind } of COLUMNS) {
    const input = inputOf(name);
    // A value of the list is shown in the language of the page.
    if (kind === "text" && isKnown(name, input.value)) {
      input.value = suggested(name, known(name, input.value.trim(), vocabulary[name]).toLowerCase());
    }
  }
}

function isKnown(name, text) {
  const values = vocabulary[name] || [];
  return text.trim() !== "" && values.includes(known(name, text.trim(), values).toLowerCase().replaceAll("ё", "е"));
}

/** A known value as the form suggests it. */
const suggested = (name, value) => capital(translated(name, value, page.language));

let asked = 0;

/** Loads the known values; models and generations are those of the make and model. */
export async function loadKnown() {
  const turn = ++asked;
  const brand = inputOf("brand").value.trim();
  const model = inputOf("model").value.trim();
  const queries = [];
  if (brand && model) {
    queries.push(`?${new URLSearchParams({ brand, model })}`);
  }
  if (brand) {
    queries.push(`?${new URLSearchParams({ brand })}`);
  }
  queries.push("");
  for (const query of queries) {
    const response = await call(inTask(`/v1/vocabulary${query}`));
    if (response.status === 404) {
      continue;
    }
    if (response.ok && turn === asked) {
      vocabulary = (await response.json()).values;
      fillKnown();
    }
    return;
  }
}

function fillKnown() {
  for (const [name, values] of Object.entries(vocabulary)) {
    const list = byId(`known-${name}`);
    if (!list) {
      continue;
    }
    const options = values.map((value) => element("option", { value: suggested(name, value) }));
    list.replaceChildren(...options);
    // Some markets know nothing of a field, such as the customs. The generations depend on the model.
    const isUseless = values.length === 0 && !["model", "vehicle_generation"].includes(name);
    byId(`box-${name}`).hidden = isUseless && inputOf(name).value === "";
  }
}

/** The car and the asking price as they are written in the form; the server reads them. */
export function readForm() {
  const listing = {};
  for (const { name, kind } of COLUMNS) {
    const text = inputOf(name).value.trim();
    if (text) {
      listing[name] = kind === "text" ? known(name, text, vocabulary[name] || []) : text;
    }
  }
  return { listing, askingPrice: byId("asking").hidden ? "" : inputOf(ASKING_PRICE).value.trim() };
}

/** Whether nothing is filled in. */
export const isEmpty = () => names().every((name) => inputOf(name).value.trim() === "");

/** The names of the required fields that are empty. */
export function missingFields() {
  return COLUMNS.filter(({ name, required }) => required && inputOf(name).value.trim() === "").map(({ name }) => name);
}

function mark(name, explain) {
  explanations.set(name, explain);
  inputOf(name).setAttribute("aria-invalid", "true");
  byId(`error-${name}`).replaceChildren(...explain());
  if (byId("more").contains(inputOf(name))) {
    byId("more").open = true;
  }
}

/** The name of the field of an error. */
export function fieldOfError({ pointer, loc }) {
  const name = pointer ? pointer.slice(1) : (loc || []).at(-1);
  return names().includes(name) ? name : null;
}

/** Marks the invalid fields and returns the first one, if any. `correct` values the corrected form, `allowUnknown` the same car. */
export function markErrors(errors, correct, allowUnknown) {
  let first = null;
  for (const error of errors) {
    const name = fieldOfError(error);
    if (!name) {
      continue;
    }
    mark(name, () => explanation(name, error, correct, allowUnknown));
    const input = inputOf(name);
    first = first && first.compareDocumentPosition(input) & Node.DOCUMENT_POSITION_FOLLOWING ? first : input;
  }
  return first;
}

/** What is wrong with a field, with buttons for what may be meant. */
function explanation(name, error, correct, allowUnknown) {
  const choose = (shown, value) => {
    const button = element("button", { type: "button", textContent: shown });
    button.addEventListener("click", () => {
      inputOf(name).value = value;
      correct();
    });
    return button;
  };
  if (error.type === "unknown_brand") {
    const anyway = element("button", { type: "button", textContent: words().anyway });
    anyway.addEventListener("click", allowUnknown);
    const nearest = error.nearest ? [suggested(name, error.nearest)] : [];
    return [words().unknownMake(inputOf(name).value.trim(), nearest.length > 0), ...nearest.map((make) => choose(make, make)), anyway];
  }
  if (error.choices) {
    return [words().which, ...error.choices.map((choice) => choose(number(choice, { maximumFractionDigits: 3 }), String(choice)))];
  }
  const text = words().errors[error.type] || words().errors.other;
  const bound = (value) => (name === "year" ? String(value) : number(value));
  return [typeof text === "string" ? text : text(bound(error.min), bound(error.max))];
}

export function clearError(name) {
  const input = inputOf(name);
  explanations.delete(name);
  if (input) {
    input.removeAttribute("aria-invalid");
    byId(`error-${name}`).textContent = "";
  }
}

export const clearErrors = () => names().forEach(clearError);

/** Puts the focus into a field, which may be folded away. */
export function focusField(name) {
  const input = inputOf(name);
  if (byId("more").contains(input)) {
    byId("more").open = true;
  }
  byId(`box-${name}`).hidden = false;
  input.focus();
  input.scrollIntoView({ block: "center" });
}

/** The address of the form as it is. */
export function addressOf() {
  const query = new URLSearchParams();
  if (page.task && page.tasks.length > 1) {
    query.set("task", page.task.name);
  }
  for (const name of names()) {
    const text = inputOf(name).value.trim();
    if (text) {
      query.set(name, text);
    }
  }
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

/** Whether an address has all that a valuation requires. */
export function isComplete(address) {
  const query = new URLSearchParams(address.replace(/^[^?]*/, ""));
  return COLUMNS.every(({ name, required }) => !required || query.has(name));
}

/** Fills the form from the address. */
export function restore() {
  const query = new URLSearchParams(location.search);
  for (const name of names()) {
    inputOf(name).value = query.get(name) || "";
  }
  byId("more").open = byId("more").open || COLUMNS.some(({ name }) => !FIRST.includes(name) && query.has(name));
}

