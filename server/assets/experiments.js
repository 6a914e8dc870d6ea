// The pages of runs: each is rendered by the server and fetched here with the API key, again while a run trains.
import { WORDS } from "./words.js";

const byId = (id) => document.getElementById(id);
let language = localStorage.getItem("language") === "en" ? "en" : "ru";
let timer = null;

/** The time between fetches while a run trains. */
const REFRESH = 5000;

async function show() {
  clearTimeout(timer);
  const parameters = new URLSearchParams(location.search);
  parameters.set("language", language);
  const key = byId("api-key").value || sessionStorage.getItem("key") || "";
  let response;
  try {
    response = await fetch(`/fragments${location.pathname}?${parameters}`, { headers: key ? { "X-API-Key": key } : {} });
  } catch {
    fail(language === "ru" ? "Сервер недоступен." : "The server is unavailable.");
    timer = setTimeout(show, REFRESH);
    return;
  }
  byId("key").hidden = response.status !== 401;
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    if (response.status === 404) {
      byId("content").replaceChildren();
    }
    fail(problem.detail || problem.title || String(response.status));
    if (response.status === 503) {
      timer = setTimeout(show, REFRESH);
    }
    return;
  }
  if (key) {
    sessionStorage.setItem("key", key);
  }
  byId("problem").hidden = true;
  const focused = document.activeElement && document.activeElement.id;
  byId("content").innerHTML = await response.text();
  if (focused && byId("content").contains(byId(focused))) {
    byId(focused).focus();
  }
  document.title = `${byId("content").querySelector("h1").textContent} · Probeg`;
  for (const plot of byId("content").querySelectorAll(".plot")) {
    showValues(plot);
  }
  if (byId("content").querySelector("[data-refresh]")) {
    timer = setTimeout(show, REFRESH);
  }
}

function fail(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

/** Shows the values under the pointer below a plot. */
function showValues(plot) {
  const output = plot.parentElement.querySelector(".value");
  if (!output) {
    return;
  }
  const curves = [...plot.querySelectorAll("[data-points]")].map((path) => ({
    name: path.dataset.name,
    points: path.dataset.points.split(" ").map((point) => point.split(",").map(Number)),
  }));
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * plot.viewBox.baseVal.width;
    const texts = curves.map(({ name, points }) => {
      const nearest = points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
      return `${name}: ${nearest[2].toLocaleString(language)} → ${nearest[3].toPrecision(5)}`;
    });
    output.textContent = texts.slice(0, 6).join(" · ");
  });
  plot.addEventListener("pointerleave", () => {
    output.textContent = "";
  });
}

function translate() {
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-ru]")) {
    place.textContent = place.dataset[language];
  }
  for (const place of document.querySelectorAll("[data-word]")) {
    place.textContent = WORDS[language][place.dataset.word];
  }
  byId("language").textContent = language === "ru" ? "English" : "Русский";
  byId("language").lang = language === "ru" ? "en" : "ru";
}

function go(form) {
  const parameters = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...parameters]) {
    if (!value) {
      parameters.delete(name);
    }
  }
  history.pushState(null, "", `${location.pathname}?${parameters}`);
  show();
}

byId("language").addEventListener("click", () => {
  language = language === "ru" ? "en" : "ru";
  localStorage.setItem("language", language);
  translate();
  show();
});
byId("key").addEventListener("submit", (event) => event.preventDefault());
byId("api-key").addEventListener("change", show);
byId("content").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "filter") {
    go(event.target);
  } else if (event.target.id === "choice") {
    location.href = `${event.target.dataset.target}?${new URLSearchParams(new FormData(event.target))}`;
  }
});
byId("content").addEventListener("change", (event) => {
  if (event.target.form && event.target.form.id === "filter") {
    go(event.target.form);
  }
});
window.addEventListener("popstate", show);
translate();
show();
