// The form: its fields, what is wrong with them, and the address that restores them.
import { COLUMNS } from "./columns.js";
import { number } from "./amounts.js";
import { addSuggestions } from "./combobox.js";
import { byId, call, element, inTask, labelOf, message, page, words } from "./page.js";
import { capital, known, translated } from "./values.js";
import { assumedFields, forgetVersions, generationOptions, isVersionField, setAssumed, state, versionOptions } from "./versions.js";

// The fields in sight: the car, the version of it, and the mileage. The others are folded away.
const FIRST = [
  "brand", "model", "year", "vehicle_generation", "engine_volume", "engine_power", "transmission", "drive", "fuel_type", "mileage",
];
const ASKING_PRICE = "asking_price";
// The address names the fields that were assumed.
const ASSUMED = "assumed";
const MAX_SUGGESTIONS = 8;

// The known values of each text field, as the server spells them.
let vocabulary = {};
// What explains the error of each invalid field, in the language of the page.
const explanations = new Map();
// What happens when the page itself fills in fields.
let onFilled = () => {};

const inputOf = (name) => byId(`field-${name}`);
export const textOf = (name) => inputOf(name).value.trim();
const names = () => [...COLUMNS.map(({ name }) => name), ASKING_PRICE];
const fold = (text) => text.trim().replace(/\s+/g, " ").toLowerCase().replaceAll("ё", "е");

/** Builds the fields; `filled(names)` is called when the user chooses values for some. */
export function buildFields(filled) {
  onFilled = filled;
  const first = FIRST.map((name) => COLUMNS.find((column) => column.name === name));
  const others = COLUMNS.filter(({ name }) => !FIRST.includes(name));
  byId("fields").append(...first.map(fieldOf));
  byId("box-fuel_type").before(element("p", { id: "assumed", className: "hint", hidden: true }));
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
  const field = element("div", { id: `box-${name}`, className: "field" }, label, input, element("small", { id: `error-${name}` }));
  if (kind === "text" || isVersionField(name)) {
    // Typing replaces what was assumed.
    for (const event of ["focus", "click"]) {
      input.addEventListener(event, () => state.assumed.has(name) && input.select());
    }
    addSuggestions(input, { suggest: (text, signal) => suggest(name, text, signal), choose: ({ values }) => fill(values) });
  }
  return field;
}

/** Fills in fields as if the user had typed the values, and goes on from there. */
function fill(values) {
  // Another make has other models, and another model other versions.
  const isOther = (name) => name in values && textOf(name) !== "" && fold(textOf(name)) !== fold(values[name]);
  const cleared = isOther("brand") ? ["model", "vehicle_generation", ...state.fields] : isOther("model") ? ["vehicle_generation", ...state.fields] : [];
  cleared.filter((name) => !(name in values)).forEach((name) => {
    inputOf(name).value = "";
    setAssumed(name, false);
  });
  if ("brand" in values || "model" in values) {
    state.declined.clear();
  }
  for (const [name, value] of Object.entries(values)) {
    inputOf(name).value = value;
    setAssumed(name, false);
    clearError(name);
  }
  onFilled(Object.keys(values));
}

/** The options of a field for a text. */
async function suggest(name, text, signal) {
  if (name === "brand" || name === "model") {
    return searchNames(name, text, signal);
  }
  if (name === "vehicle_generation") {
    const options = generationOptions().filter(({ value }) => fold(value).includes(fold(text)));
    return options.length > 0 ? options.map(optionOf(name)) : searchNames(name, text, signal);
  }
  const versions = isVersionField(name) ? versionOptions(name) : [];
  const values = versions.length > 0 ? versions : (vocabulary[name] || []).map((value) => ({ value }));
  const options = values.map(optionOf(name));
  const rank = ({ label }) => (fold(label).startsWith(fold(text)) ? 0 : fold(label).includes(fold(text)) ? 1 : 2);
  return options.filter((option) => rank(option) < 2).sort((a, b) => rank(a) - rank(b)).slice(0, 40);
}

/** What an option for a value of a field looks like. */
const optionOf = (name) => ({ value, note }) => {
  const label = shownIn(name, value);
  return { label, note, values: { [name]: label } };
};

/** A value as the form writes it. */
const shownIn = (name, value) => (typeof value === "number" ? number(value, { useGrouping: false, maximumFractionDigits: 1 }) : suggested(name, value));

/** The names that a text may mean, from the server. */
async function searchNames(field, text, signal, limit = MAX_SUGGESTIONS) {
  const query = new URLSearchParams({ field, text: text.slice(0, 200), limit });
  for (const name of ["brand", "model"].slice(0, field === "brand" ? 0 : field === "model" ? 1 : 2)) {
    if (textOf(name)) {
      query.set(name, textOf(name));
    }
  }
  const response = await call(inTask(`/v1/suggestions?${query}`), { signal });
  const { suggestions = [] } = response.ok ? await response.json() : {};
  return suggestions.map((found) => {
    // A make is only changed by its own field, or where there is none yet.
    const fields = ["brand", "model", "vehicle_generation"].filter((name) => found[name] !== undefined);
    const own = fields.filter((name) => name === field || field === "brand" || (name === "brand" && !textOf("brand")));
    const values = Object.fromEntries(own.map((name) => [name, suggested(name, found[name])]));
    return { label: own.map((name) => values[name]).join(" "), values, likeness: found.likeness };
  });
}

export function translateFields() {
  for (const { name, required } of COLUMNS) {
    byId(`label-${name}`).textContent = required ? `${labelOf(name)} *` : labelOf(name);
  }
  const symbol = page.task ? `, ${page.task.symbol}` : "";
  byId(`label-${ASKING_PRICE}`).textContent = `${words().asking}${symbol} (${words().optional})`;
  byId("asking").hidden = page.task !== null && page.task.target !== "price";
  hideUseless();
  for (const [name, explain] of explanations) {
    byId(`error-${name}`).replaceChildren(...explain());
  }
  for (const { name, kind } of COLUMNS) {
    // A value of the list is shown in the language of the page.
    if (kind === "text" && isKnown(name)) {
      inputOf(name).value = suggested(name, known(name, textOf(name), vocabulary[name]).toLowerCase());
    } else if (kind === "number" && isVersionField(name) && /^\d+[.,]\d+$/.test(textOf(name))) {
      inputOf(name).value = shownIn(name, Number(textOf(name).replace(",", ".")));
    }
  }
  showAssumed();
}

function isKnown(name) {
  const values = vocabulary[name] || [];
  return textOf(name) !== "" && values.includes(fold(known(name, textOf(name), values)));
}

/** A known value as the form suggests it. */
const suggested = (name, value) => capital(translated(name, value, page.language));

/** Whether a field that is being typed in cannot have its value yet. */
export function isUnfinished() {
  const name = document.activeElement && document.activeElement.name;
  if (name === "year") {
    return !/\d{4}/.test(textOf(name));
  }
  return (name === "brand" || name === "model") && textOf(name) !== "" && (vocabulary[name] || []).length > 0 && !isKnown(name);
}

let asked = 0;

/** Loads the known values; models and generations are those of the make and model, if these are known. */
export async function loadKnown() {
  const turn = ++asked;
  const car = {};
  for (const name of ["", "brand", "model"]) {
    if (name && !isKnown(name)) {
      return;
    }
    if (name) {
      car[name] = known(name, textOf(name), vocabulary[name]);
    }
    const response = await call(inTask(`/v1/vocabulary?${new URLSearchParams(car)}`));
    if (!response.ok || turn !== asked) {
      return;
    }
    vocabulary = (await response.json()).values;
    hideUseless();
  }
}

/** Some markets know nothing of a field, such as the customs. */
function hideUseless() {
  for (const [name, values] of Object.entries(vocabulary)) {
    const isUseless = values.length === 0 && !["model", "vehicle_generation"].includes(name);
    byId(`box-${name}`).hidden = isUseless && textOf(name) === "";
  }
}

/** Fills in the likeliest version where the user has stated none. Returns whether anything has changed. */
export function assume(version) {
  let isChanged = false;
  for (const name of state.fields) {
    const value = version && version[name] !== null ? shownIn(name, version[name]) : "";
    const isOpen = state.assumed.has(name) || (textOf(name) === "" && !state.declined.has(name));
    if (isOpen && textOf(name) !== value) {
      inputOf(name).value = value;
      clearError(name);
      isChanged = true;
    }
    if (isOpen) {
      setAssumed(name, value !== "");
    }
  }
  showAssumed();
  return isChanged;
}

function showAssumed() {
  const assumed = assumedFields();
  for (const name of state.fields) {
    inputOf(name).classList.toggle("assumed", state.assumed.has(name));
    inputOf(name).setAttribute("aria-describedby", state.assumed.has(name) ? `error-${name} assumed` : `error-${name}`);
  }
  byId("assumed").hidden = assumed.length === 0;
  byId("assumed").textContent = assumed.length > 0 ? words().assumed : "";
}

/** The user has typed in a field. */
export function typed(name) {
  clearError(name);
  if (name === "brand" || name === "model") {
    state.declined.clear();
  }
  if (isVersionField(name)) {
    setAssumed(name, false);
    (textOf(name) === "" ? state.declined.add(name) : state.declined.delete(name));
    showAssumed();
  }
}

/** Writes the names of the make and the model as the server has understood them, unless they are being typed. */
export function adopt(listing) {
  for (const name of ["brand", "model"]) {
    const understood = listing[name];
    const isOther = understood && textOf(name) !== "" && fold(textOf(name)) !== understood;
    if (isOther && document.activeElement !== inputOf(name)) {
      inputOf(name).value = suggested(name, understood);
    }
  }
}

/** The car and the asking price as they are written in the form; the server reads them. */
export function readForm() {
  const listing = {};
  for (const { name, kind } of COLUMNS) {
    const text = textOf(name);
    if (text) {
      listing[name] = kind === "text" ? known(name, text, vocabulary[name] || []) : text;
    }
  }
  return { listing, askingPrice: byId("asking").hidden ? "" : textOf(ASKING_PRICE) };
}

/** Whether nothing is filled in. */
export const isEmpty = () => names().every((name) => textOf(name) === "");

/** The names of the required fields that are empty. */
export function missingFields() {
  return COLUMNS.filter(({ name, required }) => required && textOf(name) === "").map(({ name }) => name);
}

function mark(name, explain, isInvalid = true) {
  explanations.set(name, explain);
  if (isInvalid) {
    inputOf(name).setAttribute("aria-invalid", "true");
  }
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

/** Marks the invalid fields and returns the first one, if any. `allowUnknown` values a car without its make. */
export function markErrors(errors, allowUnknown) {
  let first = null;
  for (const error of errors) {
    const name = fieldOfError(error);
    if (!name) {
      continue;
    }
    if (error.type === "unknown_brand") {
      askWhatIsMeant(name, error.nearest, allowUnknown);
    } else {
      mark(name, () => explanation(name, error));
    }
    const input = inputOf(name);
    first = first && first.compareDocumentPosition(input) & Node.DOCUMENT_POSITION_FOLLOWING ? first : input;
  }
  return first;
}

/** What is wrong with a field, with buttons for what may be meant. */
function explanation(name, error) {
  if (error.choices) {
    const options = error.choices.map((choice) => ({ label: number(choice, { maximumFractionDigits: 3 }), values: { [name]: String(choice) } }));
    return [words().which, ...options.flatMap((option) => [" ", buttonOf(option)])];
  }
  if (error.type === "missing") {
    return [words().fillIn];
  }
  const bound = (value) => (value === undefined ? undefined : name === "year" ? String(value) : number(value));
  return [capital(message("field", error.type, { min: bound(error.min), max: bound(error.max) }))];
}

function buttonOf({ label, values }) {
  const button = element("button", { type: "button", textContent: label });
  button.addEventListener("click", () => fill(values));
  return button;
}

/** Asks what an unknown name means. A make is required; without a model the car is valued nevertheless. */
async function askWhatIsMeant(name, nearest, allowUnknown) {
  const text = textOf(name);
  let options = nearest ? [{ label: suggested(name, nearest), values: { [name]: suggested(name, nearest) } }] : [];
  const explain = () => {
    const anyway = allowUnknown ? [element("button", { type: "button", textContent: words().anyway })] : [];
    anyway.forEach((button) => button.addEventListener("click", allowUnknown));
    return [words().unknownName(name, text, options.length > 0), ...[...options.map(buttonOf), ...anyway].flatMap((button) => [" ", button])];
  };
  mark(name, explain, Boolean(allowUnknown));
  const found = await searchNames(name, text, undefined, 3).catch(() => []);
  if (explanations.get(name) === explain && found.length > 0) {
    options = found;
    mark(name, explain, Boolean(allowUnknown));
  }
}

/** Asks about the names that the model does not know. */
export function askAboutUnknown(warnings) {
  for (const { code, field, nearest } of warnings) {
    if (code === "unknown_value" && ["model", "vehicle_generation"].includes(field) && textOf(field) !== "") {
      askWhatIsMeant(field, nearest);
    }
  }
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
    if (textOf(name)) {
      query.set(name, textOf(name));
    }
  }
  if (assumedFields().length > 0) {
    query.set(ASSUMED, assumedFields().join("."));
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
  forgetVersions();
  (query.get(ASSUMED) || "").split(".").filter(isVersionField).forEach((name) => setAssumed(name, textOf(name) !== ""));
  showAssumed();
  byId("more").open = byId("more").open || COLUMNS.some(({ name }) => !FIRST.includes(name) && query.has(name));
}

/** Forgets what was assumed, as the fields are emptied. */
export function emptied() {
  clearErrors();
  forgetVersions();
  showAssumed();
}
