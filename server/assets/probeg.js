"use strict";

const byId = (id) => document.getElementById(id);

let language = localStorage.getItem("language") === "en" ? "en" : "ru";
let answer = null;
// The tasks that have a model, and the chosen one.
let tasks = [];
let task = null;
// The number of submissions and edits of the form, to detect outdated responses.
let revision = 0;
const words = () => WORDS[language];

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function labelOf(field) {
  const column = COLUMNS.find(({ name }) => name === field);
  if (!column) {
    return field;
  }
  const label = column.label[language];
  const isInMiles = task && task.columns.some(({ name, unit }) => name === field && unit === "miles");
  return isInMiles ? label.replace(/(км|km)$/, words().miles) : label;
}

/** Finds out which tasks there are, and lets the user choose if there are several. */
async function loadTasks() {
  const response = await call("/v1/tasks");
  if (!response.ok) {
    return;
  }
  const list = await response.json();
  tasks = list.tasks.filter(({ champion }) => champion);
  const named = new URLSearchParams(location.search).get("task");
  task = tasks.find(({ name }) => name === named) || tasks.find(({ name }) => name === list.default) || null;
  byId("choice").hidden = tasks.length < 2;
  translate();
}

/** The path with the chosen task, unless it is the only one. */
function inTask(path) {
  if (!task || tasks.length < 2) {
    return path;
  }
  return `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ task: task.name })}`;
}

function buildFields() {
  for (const { name, kind, required } of COLUMNS) {
    const input = element("input", {
      name, id: `field-${name}`, autocomplete: "off", required,
      type: kind === "date" ? "date" : "text", inputMode: kind === "number" ? "decimal" : "text",
    });
    input.setAttribute("aria-describedby", `error-${name}`);
    if (kind === "text") {
      input.setAttribute("list", `known-${name}`);
    }
    const label = element("label", { htmlFor: input.id }, element("span", { id: `label-${name}` }));
    const error = element("small", { id: `error-${name}` });
    byId("fields").append(element("div", {}, label, input, element("datalist", { id: `known-${name}` }), error));
  }
}

function translate() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-word]")) {
    node.textContent = words()[node.dataset.word];
  }
  for (const { name, required } of COLUMNS) {
    byId(`label-${name}`).textContent = required ? `${labelOf(name)} (${words().required})` : labelOf(name);
  }
  byId("task").replaceChildren(...tasks.map(({ name, market, target, symbol }) =>
    element("option", {
      value: name, selected: task !== null && task.name === name,
      textContent: `${market.toUpperCase()}: ${words().targets[target]}, ${symbol} (${name})`,
    })));
  const other = language === "ru" ? "en" : "ru";
  byId("language").textContent = other === "en" ? "English" : "Русский";
  byId("language").lang = other;
  if (answer) {
    show(answer);
  }
}

/** Calls the server, with the key where one was given. */
async function call(path, options = {}) {
  const key = byId("api-key").value || sessionStorage.getItem("key") || "";
  const headers = { ...options.headers };
  if (key) {
    headers["X-API-Key"] = key;
  }
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    byId("key").hidden = false;
    byId("api-key").focus();
  } else if (key) {
    sessionStorage.setItem("key", key);
  }
  return response;
}

let asked = 0;

/** Fills the lists of known values, models and generations narrowed to the make and model. */
async function loadKnown() {
  const turn = ++asked;
  const brand = byId("field-brand").value.trim();
  const model = byId("field-model").value.trim();
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
      fillKnown((await response.json()).values);
    }
    return;
  }
}

function fillKnown(values) {
  for (const [name, known] of Object.entries(values)) {
    const list = byId(`known-${name}`);
    if (list) {
      list.replaceChildren(...known.map((value) => element("option", { value })));
    }
  }
}

/** The listing in the form. Text that is not a number is sent as it is, so that the server reports it. */
function listing() {
  const car = {};
  for (const { name, kind } of COLUMNS) {
    const text = byId(`field-${name}`).value.trim();
    if (!text) {
      continue;
    }
    const number = Number(text.replace(/[\s\u00a0]/g, "").replace(",", "."));
    car[name] = kind === "number" && Number.isFinite(number) ? number : text;
  }
  return car;
}

function clearError(name) {
  byId("problem").hidden = true;
  byId(`field-${name}`).removeAttribute("aria-invalid");
  byId(`error-${name}`).textContent = "";
}

function showProblem(status, problem) {
  let text = problem.detail || problem.title || words().offline;
  const errors = problem.errors || [];
  let first = null;
  for (const error of errors) {
    const input = byId(`field-${(error.pointer || "").slice(1)}`);
    if (!input) {
      continue;
    }
    input.setAttribute("aria-invalid", "true");
    byId(`error-${input.name}`).replaceChildren(...explanation(error, input));
    first = first || input;
  }
  if (first) {
    text = words().check;
    first.focus();
  } else if ((problem.type || "").endsWith(":no-model")) {
    text = words().noModel;
  }
  byId("empty").hidden = true;
  byId("problem").textContent = text;
  byId("problem").hidden = false;
  // An invalid field, or the key if one is required, already has the focus.
  if (!first && status !== 401) {
    reveal();
  }
}

/** What is wrong with a field; for an unknown make also a button that values the car without it. */
function explanation(error, input) {
  if (error.type !== "unknown_brand") {
    return [words().errors[error.type] || error.msg];
  }
  const anyway = element("button", { type: "button", textContent: words().anyway });
  anyway.addEventListener("click", () => value(anyway, "&allow_unknown=true"));
  return [words().unknownMake(input.value.trim(), nearestIn(error.msg)), anyway];
}

/** The known value that a message of the server suggests, if any. */
function nearestIn(message) {
  const nearest = /did you mean "([^"]+)"/.exec(message);
  return nearest && nearest[1];
}

/** An amount in the unit of a valuation, rounded like its price; a difference has a sign. */
function money(amount, valuation, isDifference = false) {
  // More significant digits would suggest more precision than the model has.
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(valuation.price, 1))) - 3);
  const rounded = Math.round(amount / step) * step;
  const signDisplay = isDifference ? "exceptZero" : "auto";
  if (valuation.unit === "days") {
    return words().days(new Intl.NumberFormat(words().date, { signDisplay }).format(Math.round(amount)));
  }
  const format = { style: "currency", currency: valuation.currency, maximumFractionDigits: 0, signDisplay };
  return new Intl.NumberFormat(words().date, format).format(rounded);
}

function percent(share, digits) {
  const format = { style: "percent", maximumFractionDigits: digits, signDisplay: digits ? "exceptZero" : "auto" };
  return new Intl.NumberFormat(words().date, format).format(share);
}

/** Takes the price away: it never stands beside inputs that it is not for. */
function forget() {
  answer = null;
  byId("valuation").hidden = true;
  byId("price").textContent = "";
  byId("range").textContent = "";
  byId("empty").hidden = false;
}

/** Brings the price or the problem into sight, and the focus to its heading. */
function reveal() {
  const { top, bottom } = byId("result").getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight) {
    byId("result").scrollIntoView();
  }
  byId("result-title").focus({ preventScroll: true });
}

function show(valuation) {
  answer = valuation;
  byId("empty").hidden = true;
  byId("valuation").hidden = false;
  byId("price").textContent = money(valuation.price, valuation);
  byId("range").textContent = words().range(percent(valuation.level, 0), money(valuation.low, valuation), money(valuation.high, valuation));
  const width = valuation.high - valuation.low;
  byId("scale").value = width > 0 ? (100 * (valuation.price - valuation.low)) / width : 50;
  const warnings = valuation.warnings.filter(({ code }) => code !== "comparables_unavailable");
  byId("warnings").replaceChildren(...warnings.map((warning) => element("li", { textContent: remark(warning, valuation) })));
  const factors = (valuation.factors || []).filter(({ code }) => code === "raises" || code === "lowers");
  byId("factors").tBodies[0].replaceChildren(
    row(words().usual, money(valuation.baseline.price, valuation)),
    ...factors.map((factor) => factorRow(factor, valuation)),
    row(words().total, money(valuation.price, valuation)));
  const [next] = valuation.narrow || [];
  byId("next").textContent = next ? words().next(labelOf(next.field), percent(next.share, 0)) : "";
  const similar = valuation.comparables || [];
  byId("similar").hidden = similar.length === 0;
  byId("similar").querySelector("tbody").replaceChildren(...similar.map((car) => similarRow(car, valuation)));
  byId("model").textContent = words().model(valuation.model.version, day(valuation.as_of));
}

/** A date as the language of the page writes it. */
function day(date) {
  return new Date(`${date}T12:00:00`).toLocaleDateString(words().date);
}

function remark(warning, valuation) {
  if (warning.code === "outdated_market") return words().outdated(day(valuation.market_as_of), day(valuation.as_of));
  const label = labelOf(warning.field);
  const input = byId(`field-${warning.field}`);
  const value = input ? input.value.trim() : "";
  return words().unknown && value ? words().unknown(label, value, nearestIn(warning.message)) : warning.message;
}

function row(name, text, className = "") {
  return element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { className, textContent: text }));
}

/** What a group of fields adds to the price of the usual car. */
function factorRow(factor, valuation) {
  const differing = factor.fields.filter(({ value, reference }) => value !== reference);
  const texts = differing.map(({ field, value, reference }) =>
    `${labelOf(field)}: ${reference === null ? value : words().instead(value, reference)}`);
  return row(texts.join("; "), money(factor.amount, valuation, true), factor.amount > 0 ? "up" : "down");
}

function similarRow(car, valuation) {
  const distance = `${new Intl.NumberFormat(words().date).format(car.mileage)} ${labelOf("mileage").split(", ")[1] || ""}`;
  const parts = [car.year, distance, car.vehicle_generation, car.transmission, car.region, car.listing_date && day(car.listing_date)];
  return row(parts.filter(Boolean).join(" · "), `${money(car.price, valuation)} → ${money(car.adjusted_price, valuation)}`);
}

/** Asks the server about the car in the form. */
async function ask(parameters) {
  try {
    const response = await call(inTask(`/v1/valuations?explain=true&narrow=true&comparables=4${parameters}`), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(listing()),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return { status: 0, body: {} };
  }
}

/** Values the car in the form and shows the result. The button is disabled meanwhile. */
async function value(button, parameters = "") {
  COLUMNS.forEach(({ name }) => clearError(name));
  forget();
  const submitted = ++revision;
  button.disabled = true;
  const { status, body } = await ask(parameters);
  button.disabled = false;
  if (submitted !== revision) {
    return;
  }
  if (status === 200) {
    show(body);
    reveal();
  } else {
    showProblem(status, body);
  }
}

/** Saves an answer under the name that the server gave it. */
async function save(response, fallback) {
  const disposition = response.headers.get("Content-Disposition") || "";
  const full = /filename\*=UTF-8''([^;]+)/.exec(disposition);
  const plain = /filename="([^"]+)"/.exec(disposition);
  const name = full ? decodeURIComponent(full[1]) : plain ? plain[1] : fallback;
  const address = URL.createObjectURL(await response.blob());
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** Asks after a job until it is done, and saves its result. */
async function follow(place, state) {
  for (;;) {
    const job = await (await call(place)).json();
    if (job.state === "done") {
      await save(await call(job.result), "valued.xlsx");
      await call(place, { method: "DELETE" });
      state.textContent = words().done;
      return;
    }
    if (job.state !== "running") {
      state.textContent = (job.error || job).detail;
      return;
    }
    state.textContent = words().valued(new Intl.NumberFormat(words().date).format(job.valued));
    await new Promise((resume) => setTimeout(resume, 300));
  }
}

async function upload(event) {
  event.preventDefault();
  const button = event.submitter || event.target.querySelector("[type=submit]");
  const state = byId("upload-state");
  const form = new FormData();
  form.append("file", byId("file").files[0]);
  button.disabled = true;
  state.textContent = words().working;
  try {
    const response = await call(inTask("/v1/valuations/jobs"), { method: "POST", body: form });
    if (response.ok) {
      await follow(response.headers.get("Location"), state);
    } else {
      state.textContent = (await response.json()).detail;
    }
  } catch {
    state.textContent = words().offline;
  } finally {
    button.disabled = false;
  }
}

async function template(event) {
  event.preventDefault();
  const response = await call(inTask("/v1/valuations/template.xlsx")).catch(() => null);
  if (response && response.ok) {
    await save(response, "template.xlsx");
  }
}

buildFields();
translate();
loadTasks().catch(() => {}).then(loadKnown).catch(() => {});
byId("task").addEventListener("change", () => {
  task = tasks.find(({ name }) => name === byId("task").value) || null;
  history.replaceState(null, "", `?${new URLSearchParams({ task: task.name })}`);
  revision += 1;
  forget();
  translate();
  loadKnown().catch(() => {});
});
byId("car").addEventListener("submit", (event) => {
  event.preventDefault();
  value(event.submitter || event.target.querySelector("[type=submit]"));
});
byId("car").addEventListener("input", (event) => {
  revision += 1;
  clearError(event.target.name);
  forget();
});
byId("car").addEventListener("reset", () => {
  revision += 1;
  COLUMNS.forEach(({ name }) => clearError(name));
  forget();
});
byId("upload").addEventListener("submit", upload);
byId("file").addEventListener("change", () => {
  byId("upload-state").textContent = "";
});
byId("template").addEventListener("click", template);
byId("api-key").addEventListener("change", () => loadKnown().catch(() => {}));
for (const name of ["brand", "model"]) {
  byId(`field-${name}`).addEventListener("change", () => loadKnown().catch(() => {}));
}
byId("language").addEventListener("click", () => {
  language = language === "ru" ? "en" : "ru";
  localStorage.setItem("language", language);
  translate();
});
