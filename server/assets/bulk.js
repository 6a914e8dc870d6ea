// The page for many cars at once: what a table was understood as, what it costs, and the table with prices.
import { number } from "./amounts.js";
import { COLUMNS } from "./columns.js";
import { byId, call, element, inTask, page, problemText, words as texts } from "./page.js";
import { showPortfolio } from "./portfolio.js";
import { loadTasks, translateTasks } from "./tasks.js";
import { save, saveTemplate } from "./workbook.js";
import { BULK } from "./words.js";

// The file, what was understood of it, the meanings chosen by hand, and the finished job.
const state = { file: null, check: null, mapping: {}, job: null };
// Counts what the user has started, so that late answers are not shown.
let revision = 0;
let saying = () => "";
let complaint = null;
const POLL_MILLISECONDS = 400;
const IGNORE = "ignore";

const words = () => BULK[page.language];

function say(text, { share } = {}) {
  saying = text;
  byId("state").textContent = text();
  const progress = byId("progress");
  progress.hidden = share === undefined;
  if (share === null) {
    progress.removeAttribute("value");
  } else if (share !== undefined) {
    progress.value = share;
  }
}

function complain(text) {
  complaint = text;
  byId("problem").hidden = !text;
  byId("problem").textContent = text ? text() : "";
}

/** A problem of the server; that of a table also with the details, which name what is wrong with it. */
function explain(problem) {
  complain(() => {
    const kind = (problem.type || "").split(":").pop();
    const isOfTable = ["unreadable-table", "table-too-large", "invalid-fields"].includes(kind);
    return isOfTable && problem.detail ? `${problemText(problem)} ${problem.detail}` : problemText(problem);
  });
}

function translate() {
  document.documentElement.lang = page.language;
  const all = { ...texts(), ...words() };
  for (const node of document.querySelectorAll("[data-word]")) {
    node.textContent = all[node.dataset.word];
  }
  const other = page.language === "ru" ? "en" : "ru";
  byId("language").textContent = other === "en" ? "English" : "Русский";
  byId("language").lang = other;
  byId("progress").setAttribute("aria-label", words().progress);
  document.title = `Probeg — ${words().bulkTitle}`;
  translateTasks();
  byId("state").textContent = saying();
  complain(complaint);
  if (state.check) {
    showCheck();
  }
  if (state.job) {
    showPortfolio(state.job);
  }
}

/** Sends the file with the chosen meanings, and tells how much of it has been sent. */
function send(path, sent) {
  const form = new FormData();
  form.append("mapping", JSON.stringify(state.mapping));
  form.append("file", state.file);
  const key = byId("api-key").value || sessionStorage.getItem("key") || "";
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", inTask(path));
    request.responseType = "json";
    if (key) {
      request.setRequestHeader("X-API-Key", key);
    }
    request.upload.addEventListener("progress", ({ loaded, total }) => sent(total ? loaded / total : null));
    request.addEventListener("loadend", () => {
      if (request.status === 401) {
        byId("key").hidden = false;
        byId("api-key").focus();
      } else if (request.status && key) {
        sessionStorage.setItem("key", key);
      }
      resolve({ status: request.status, body: request.response || {}, place: request.getResponseHeader("Location") });
    });
    request.send(form);
  });
}

/** Asks the server what it understands of the file. */
async function check({ isFirst = false } = {}) {
  const started = ++revision;
  forgetResult();
  complain(null);
  byId("start").disabled = true;
  say(() => words().checking, { share: 0 });
  const { status, body } = await send("/v1/valuations/check", (share) => started === revision && say(() => words().checking, { share }));
  if (started !== revision) {
    return;
  }
  say(() => "");
  if (status !== 200) {
    state.check = null;
    byId("checked").hidden = true;
    explain(body);
    return;
  }
  state.check = body;
  showCheck();
  byId("checked").hidden = false;
  if (isFirst) {
    byId("checked-title").focus();
  }
}

function forgetResult() {
  state.job = null;
  byId("valued").hidden = true;
}

function showCheck() {
  const { columns, missing, problems, rows, valuable, format } = state.check;
  const focused = byId("columns").contains(document.activeElement) ? document.activeElement.closest("tr").dataset.place : null;
  byId("columns").tBodies[0].replaceChildren(...columns.map(columnRow));
  if (focused !== null) {
    byId("columns").querySelector(`[data-place="${focused}"] select`).focus();
  }
  const open = columns.filter(({ column, chosen }) => column === null && !chosen).length;
  const lacks = missing.map(columnName).join(", ");
  byId("understood").textContent = [
    words().counted(rows, number(rows), number(valuable)), open ? words().openColumns(open) : "", lacks ? words().lacks(lacks) : "",
  ].filter(Boolean).join(" ");
  byId("problems").hidden = problems.length === 0;
  byId("problem-list").replaceChildren(...problems.slice(0, 20).map(problemItem));
  if (problems.length > 20) {
    byId("problem-list").append(element("li", { textContent: words().moreProblems }));
  }
  byId("format-choice").hidden = format !== "csv";
  byId("start").textContent = words().start(valuable, number(valuable));
  byId("start").disabled = valuable === 0;
}

const columnName = (name) => {
  const column = COLUMNS.find((other) => other.name === name);
  return column ? column.label[page.language] : words().targetColumns[name] || name;
};

/** What a choice for a column is kept under: its header, or its place where that is empty or not the only one. */
function keyOf({ number: place, header }) {
  const same = state.check.columns.filter((other) => other.header.trim().toLowerCase() === header.trim().toLowerCase());
  return header.trim() === "" || same.length > 1 ? `#${place}` : header;
}

/** A column of the table, with a select to say what it is. */
function columnRow(checked) {
  const { number: place, header, column, unit, chosen, suggestion, examples } = checked;
  const title = header.trim() || words().unnamed(place);
  const names = [...COLUMNS.map(({ name }) => name), ...Object.keys(words().targetColumns)];
  const option = (value, text) => element("option", { value, textContent: text, selected: value === (column || (chosen ? IGNORE : "")) });
  const isOpen = column === null && !chosen;
  const select = element("select", {}, ...(isOpen ? [option("", words().notUsed)] : []), option(IGNORE, words().ignored),
    ...names.map((name) => option(name, columnName(name))));
  select.setAttribute("aria-label", words().meaningOf(title));
  select.addEventListener("change", () => choose(checked, select.value));
  const meaning = element("td", {}, select);
  if (unit) {
    meaning.append(element("small", { textContent: words().inUnit(unit) }));
  }
  if (suggestion) {
    const button = element("button", { type: "button", textContent: words().maybe(columnName(suggestion)) });
    button.addEventListener("click", () => choose(checked, suggestion));
    meaning.append(" ", button);
  }
  const row = element("tr", { className: column ? "" : "unused" }, element("th", { scope: "row", textContent: title }),
    element("td", { textContent: examples.join(" · ") || "—" }), meaning);
  row.dataset.place = place;
  return row;
}

function choose(column, value) {
  if (value) {
    state.mapping[keyOf(column)] = value;
  } else {
    // Without a choice, the header means what the server understands, which may be a column.
    delete state.mapping[keyOf(column)];
  }
  check();
}

const problemItem = ({ row, column, value, type }) =>
  element("li", {}, `${words().rowOf(row)}: ${column ? `${columnName(column)} — ` : ""}${words().reasons[type] || words().reasons.other}`,
    ...(value ? [element("small", { textContent: words().written(value) })] : []));

/** Values the table as a job, and shows what it adds up to. */
async function start() {
  const started = ++revision;
  const isCurrent = () => started === revision;
  forgetResult();
  complain(null);
  byId("start").disabled = true;
  const format = state.check.format === "csv" && byId("format").value ? "&format=xlsx" : "";
  say(() => words().sending, { share: 0 });
  const sent = (share) => isCurrent() && say(() => words().sending, { share });
  const { status, body, place } = await send(`/v1/valuations/jobs?language=sheet${format}`, sent);
  if (isCurrent() && status !== 202) {
    explain(body);
    say(() => "");
  } else if (isCurrent()) {
    await followJob(place, isCurrent);
  }
  if (isCurrent()) {
    byId("start").disabled = false;
  }
}

async function followJob(place, isCurrent) {
  while (isCurrent()) {
    const response = await call(place).catch(() => null);
    const job = response ? await response.json() : {};
    if (!isCurrent()) {
      return;
    }
    if (job.state === "running") {
      const { valued } = job;
      say(() => words().valuing(number(valued), number(state.check.valuable)), { share: Math.min(1, valued / state.check.valuable) });
      await new Promise((resume) => setTimeout(resume, POLL_MILLISECONDS));
      continue;
    }
    if (job.state === "done") {
      state.job = job;
      say(() => "");
      byId("valued").hidden = false;
      showPortfolio(job);
      byId("valued-title").focus();
    } else {
      say(() => "");
      explain(job.error || job);
    }
    return;
  }
}

function choseFile(file) {
  if (file) {
    state.file = file;
    // Meanings stay: the next list of the same dealer has the same headers.
    check({ isFirst: true });
  }
}

/** Keeps the chosen meanings, and those that were understood, as a file. */
function keep() {
  const known = state.check.columns.filter(({ column }) => column).map((checked) => [keyOf(checked), checked.column]);
  const mapping = { ...Object.fromEntries(known), ...state.mapping };
  const address = URL.createObjectURL(new Blob([JSON.stringify(mapping, null, 2)], { type: "application/json" }));
  const link = element("a", { href: address, download: "probeg-columns.json" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

async function load(file) {
  try {
    const mapping = JSON.parse(await file.text());
    if (mapping === null || Array.isArray(mapping) || Object.values(mapping).some((choice) => typeof choice !== "string")) {
      throw new TypeError("not a mapping");
    }
    state.mapping = mapping;
  } catch {
    complain(() => words().notAMapping);
    return;
  }
  check();
}

async function download() {
  const response = await call(state.job.result).catch(() => null);
  if (response && response.ok) {
    await save(response, "valued.xlsx");
    say(() => words().saved);
  } else {
    explain(response ? await response.json().catch(() => ({})) : {});
  }
}

async function begin() {
  await loadTasks().catch(() => true);
  translate();
}

byId("file").addEventListener("change", () => choseFile(byId("file").files[0]));
for (const [event, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  byId("drop").addEventListener(event, (drag) => {
    drag.preventDefault();
    byId("drop").classList.toggle("over", isOver);
    if (event === "drop") {
      choseFile(drag.dataTransfer.files[0]);
    }
  });
}
byId("mapping").addEventListener("change", () => {
  if (byId("mapping").files[0]) {
    load(byId("mapping").files[0]);
  }
});
byId("keep").addEventListener("click", keep);
byId("start").addEventListener("click", start);
byId("download").addEventListener("click", download);
byId("template").addEventListener("click", async (event) => {
  event.preventDefault();
  const problem = await saveTemplate();
  if (problem) {
    explain(problem);
  }
});
byId("key").addEventListener("submit", (event) => event.preventDefault());
byId("api-key").addEventListener("change", () => {
  begin();
  if (state.file) {
    check();
  }
});
byId("task").addEventListener("change", () => {
  page.task = page.tasks.find(({ name }) => name === byId("task").value) || null;
  if (state.file) {
    check();
  }
});
byId("language").addEventListener("click", () => {
  page.language = page.language === "ru" ? "en" : "ru";
  localStorage.setItem("language", page.language);
  translate();
});
translate();
begin();
