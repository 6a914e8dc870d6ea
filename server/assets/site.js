// What pages that only show something share: the language, the task if there is a choice, the key, and a request that can be repeated.
import { byId, call, page, problemText, words } from "./page.js";
import { chooseTask, loadTasks, translateTasks } from "./tasks.js";

// What says in the language of the page why there is nothing to show.
let trouble = null;
const choosesTask = Boolean(byId("choice"));

function translate() {
  document.documentElement.lang = page.language;
  for (const node of document.querySelectorAll("[data-word]")) {
    node.textContent = words()[node.dataset.word];
  }
  const other = page.language === "ru" ? "en" : "ru";
  byId("language").textContent = other === "en" ? "English" : "Русский";
  byId("language").lang = other;
  if (choosesTask) {
    translateTasks();
  }
  if (trouble) {
    byId("problem").textContent = trouble();
  }
}

/** Says why there is nothing to show; nothing if there is something. */
export function explain(text) {
  trouble = text;
  byId("trouble").hidden = !text;
  byId("problem").textContent = text ? text() : "";
}

/**
 * Reads a path of the API. Returns the response if it is good; else says why not and returns null. `explainWith` may know better what
 * a status means on this page; `failed` is told the status, 0 if there was no response.
 */
export async function read(path, explainWith = {}, failed = () => {}) {
  let response;
  try {
    response = await call(path);
  } catch {
    explain(() => words().offline);
    failed(0);
    return null;
  }
  if (response.ok) {
    explain(null);
    return response;
  }
  const problem = await response.json().catch(() => ({}));
  explain(explainWith[response.status] || (() => problemText(problem)));
  failed(response.status);
  return null;
}

/** Starts a page: `load` reads what it shows, `show` writes it in the language of the page. */
export function startPage(load, show) {
  const open = async () => {
    const isAllowed = !choosesTask || (await loadTasks().catch(() => true));
    translate();
    if (isAllowed) {
      await load();
    }
  };
  translate();
  open();
  byId("again").addEventListener("click", open);
  byId("key").addEventListener("submit", (event) => event.preventDefault());
  byId("api-key").addEventListener("change", () => {
    byId("key").hidden = true;
    open();
  });
  byId("language").addEventListener("click", () => {
    page.language = page.language === "ru" ? "en" : "ru";
    localStorage.setItem("language", page.language);
    translate();
    show();
  });
  if (choosesTask) {
    byId("task").addEventListener("change", () => {
      history.pushState(null, "", `?${new URLSearchParams({ task: byId("task").value })}`);
      chooseTask();
      translate();
      load();
    });
  }
  window.addEventListener("popstate", () => {
    if (choosesTask) {
      chooseTask();
    }
    translate();
    load();
  });
}
