// Pages whose content the server renders: models, runs and sweeps. It is fetched with the API key, again while something changes.
import { byId, call, page, problemText, words } from "./page.js";
import { read, startPage } from "./site.js";
import { showValues } from "./pointer.js";

/** The time between fetches while a run trains or the server is away. */
const REFRESH_MS = 5000;
/** Statuses that may be over soon. */
const PASSING = [0, 429, 503];

let timer = null;
// The number of the last load, to detect that another one has begun, and what it has shown.
let loads = 0;
let shown = null;

async function load() {
  clearTimeout(timer);
  timer = null;
  loads += 1;
  const own = loads;
  byId("content").setAttribute("aria-busy", "true");
  const parameters = new URLSearchParams(location.search);
  parameters.set("language", page.language);
  const path = `/fragments${location.pathname}?${parameters}`;
  const response = await read(path, { 404: () => words().gone }, (status) => fail(own, status));
  const text = response && (await response.text().catch(() => null));
  if (own !== loads) {
    return;
  }
  byId("content").removeAttribute("aria-busy");
  if (text) {
    show(text);
  }
}

/** What is gone is not shown any more; what may come back is asked for again. */
function fail(own, status) {
  if (own !== loads) {
    return;
  }
  if (status === 404) {
    byId("content").replaceChildren();
    shown = null;
  } else if (PASSING.includes(status)) {
    timer = setTimeout(load, REFRESH_MS);
  }
}

function show(text) {
  if (text !== shown) {
    replace(byId("content"), text);
    shown = text;
    document.title = `${byId("content").querySelector("h1").textContent} · Probeg`;
    byId("content").querySelectorAll(".plot").forEach(showValues);
  }
  if (byId("content").querySelector("[data-refresh]")) {
    timer = setTimeout(refresh, REFRESH_MS);
  }
}

/** Loads again, but not while somebody fills in the form above a table. */
function refresh() {
  if (byId("filter")?.contains(document.activeElement)) {
    timer = setTimeout(refresh, REFRESH_MS);
  } else {
    load();
  }
}

/** Replaces the content. What has been opened, chosen and focused stays so. */
function replace(content, text) {
  const focused = content.contains(document.activeElement) && document.activeElement.id;
  const opened = [...content.querySelectorAll("details[open]")].map(({ id }) => id);
  const chosen = [...content.querySelectorAll("[name=run]:checked")].map(({ value }) => value);
  content.innerHTML = text;
  for (const id of opened) {
    byId(id)?.setAttribute("open", "");
  }
  for (const box of content.querySelectorAll("[name=run]")) {
    box.checked = chosen.includes(box.value);
  }
  if (focused) {
    byId(focused)?.focus();
  }
}

/** Opens the same page with what a form says. */
function filter(form) {
  const parameters = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...parameters]) {
    if (!value) {
      parameters.delete(name);
    }
  }
  if (parameters.getAll("column").join() === form.dataset.columns) {
    parameters.delete("column");
  }
  const search = parameters.size > 0 ? `?${parameters}` : "";
  history.pushState(null, "", `${location.pathname}${search}`);
  load();
}

/** Changes the champion, with the token of the form. */
async function change(form) {
  const { method, path, body } = form.dataset;
  const headers = { Authorization: `Bearer ${form.elements.token.value}` };
  if (body) {
    headers["Content-Type"] = "application/json";
  }
  const say = (text) => {
    byId("outcome").textContent = text;
  };
  let response;
  try {
    response = await call(path, { method, headers, body });
  } catch {
    say(words().offline);
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    say(response.status === 401 ? words().wrongToken : problemText(answer));
    return;
  }
  await load();
  say(words().promoted(answer.champion));
}

byId("content").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.id === "filter") {
    filter(form);
  } else if (form.id === "comparison") {
    location.href = `/experiments/compare?${new URLSearchParams(new FormData(form))}`;
  } else if (form.dataset.path) {
    change(form);
  }
});
// A choice shows its effect at once; what takes several steps is sent with the button.
byId("content").addEventListener("change", ({ target }) => {
  if (target.form?.id === "filter" && (target.matches("select") || target.type === "search")) {
    filter(target.form);
  }
});
startPage(load, load);
