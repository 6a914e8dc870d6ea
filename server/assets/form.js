// The form: its fields, suggestions, what is wrong with them, and the address that restores them.
import { COLUMNS } from "./columns.js";
import { number } from "./amounts.js";
import { boundsOf, readNumber } from "./numbers.js";
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
const kindOf = (name) => (COLUMNS.find((column) => column.name === name) || { kind: "number" }).kind;

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

/** The car and the asking price in the form. Returns null and asks if a number can be read in two ways. */
export function readForm(retry) {
  const car = {};
  let first = null;
  for (const name of names()) {
    const text = inputOf(name).value.trim();
    if (!text || (name === ASKING_PRICE && byId("asking").hidden)) {
      continue;
    }
    const kind = kindOf(name);
    const read = kind === "number" ? readNumber(name, text) : null;
    if (read && read.choices) {
      askWhich(name, read.choices, retry);
      first = first || inputOf(name);
    } else if (read) {
      car[name] = read.value;
    } else if (name === ASKING_PRICE) {
      mark(name, () => [words().errors.not_a_number]);
      first = first || inputOf(name);
    } else {
      // What is not a number is sent as it is, so that the server reports it.
      car[name] = kind === "text" ? known(name, text, vocabulary[name] || []) : text;
    }
  }
  if (first) {
    first.focus();
    return null;
  }
  const { [ASKING_PRICE]: askingPrice, ...listing } = car;
  return { listing, askingPrice };
}

function askWhich(name, choices, retry) {
  const buttonOf = (choice) => {
    const button = element("button", { type: "button", textContent: number(choice, { maximumFractionDigits: 3 }) });
    button.addEventListener("click", () => {
      inputOf(name).value = String(choice);
      retry(button);
    });
    return button;
  };
  mark(name, () => [words().which, ...choices.map(buttonOf)]);
}

function mark(name, explain) {
  explanations.set(name, explain);
  inputOf(name).setAttribute("aria-invalid", "true");
  byId(`error-${name}`).replaceChildren(...explain());
  if (byId("more").contains(inputOf(name))) {
    byId("more").open = true;
  }
}

/** Marks the invalid fields and returns the first one, if any. */
export function markErrors(errors, allowUnknown) {
  let first = null;
  for (const error of errors) {
    const name = error.pointer ? error.pointer.slice(1) : (error.loc || []).at(-1);
    if (!names().includes(name)) {
      continue;
    }
    mark(name, () => explanation(name, error, allowUnknown));
    const input = inputOf(name);
    first = first && first.compareDocumentPosition(input) & Node.DOCUMENT_POSITION_FOLLOWING ? first : input;
  }
  return first;
}

/** What is wrong with a field; for an unknown make also a button that values the car without it. */
function explanation(name, error, allowUnknown) {
  if (error.type === "unknown_brand") {
    const anyway = element("button", { type: "button", textContent: words().anyway });
    anyway.addEventListener("click", () => allowUnknown(anyway));
    const nearest = nearestIn(error.msg);
    const shown = nearest && translated(name, nearest, page.language);
    return [words().unknownMake(inputOf(name).value.trim(), shown), anyway];
  }
  const text = words().errors[error.type] || words().errors.other;
  if (typeof text === "string") {
    return [text];
  }
  const [min, max] = boundsOf(name);
  const bound = (value) => (name === "year" ? String(value) : number(value));
  return [text(bound(min), bound(max))];
}

/** The known value that a message of the server suggests, if any. */
export function nearestIn(message) {
  const nearest = /did you mean "([^"]+)"/.exec(message);
  return nearest && nearest[1];
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

/** Fills the form from the address. */
export function restore() {
  const query = new URLSearchParams(location.search);
  for (const name of names()) {
    inputOf(name).value = query.get(name) || "";
  }
  byId("more").open = byId("more").open || COLUMNS.some(({ name }) => !FIRST.includes(name) && query.has(name));
}

/** Whether the form has what a valuation requires. */
export const isComplete = () => COLUMNS.every(({ name, required }) => !required || inputOf(name).value !== "");
