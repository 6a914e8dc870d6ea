// What all parts of the page share: its language, the chosen task, elements, units and requests.
import { COLUMNS } from "./columns.js";
import { MESSAGES } from "./messages.js";
import { WORDS } from "./words.js";

export const byId = (id) => document.getElementById(id);

export const page = {
  language: localStorage.getItem("language") === "en" ? "en" : "ru",
  // The tasks that have a model, and the chosen one.
  tasks: [],
  task: null,
};

/** The texts in the language of the page, for what the task predicts. */
export function words() {
  const texts = WORDS[page.language];
  const variant = page.task && texts.variants[page.task.target];
  return variant ? { ...texts, ...variant } : texts;
}

export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

export const columnOf = (field) => COLUMNS.find(({ name }) => name === field);

/** Whether a field is in miles in the chosen task. */
export function isInMiles(field) {
  return Boolean(page.task && page.task.columns.some(({ name, unit }) => name === field && unit === "miles"));
}

/** The unit of a field as the page writes it; empty if there is none. */
export function unitOf(field) {
  const column = columnOf(field);
  if (!column) {
    return "";
  }
  return isInMiles(field) ? words().miles : column.unit[page.language];
}

/** The name of a field without its unit. */
export function nameOf(field) {
  const column = columnOf(field);
  return column ? column.label[page.language] : field;
}

export function labelOf(field) {
  const unit = unitOf(field);
  return unit ? `${nameOf(field)}, ${unit}` : nameOf(field);
}

/** Calls the server, with the key if one was entered. Whoever sends other credentials hears of their refusal. */
export async function call(path, options = {}) {
  const key = byId("api-key").value || sessionStorage.getItem("key") || "";
  const headers = { "Accept-Language": page.language, ...options.headers };
  if (headers.Authorization) {
    return fetch(path, { ...options, headers });
  }
  if (key) {
    headers["X-API-Key"] = key;
  }
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    byId("key").hidden = false;
    // Whoever is typing goes on.
    if (!byId("car")?.contains(document.activeElement)) {
      byId("api-key").focus();
    }
  } else if (key) {
    sessionStorage.setItem("key", key);
  }
  return response;
}

/** The path with the chosen task, unless it is the only one. */
export function inTask(path) {
  if (!page.task || page.tasks.length < 2) {
    return path;
  }
  return `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ task: page.task.name })}`;
}

/**
 * A message of the catalogue of the server in the language of the page, about `field`, `warning` or `title` and `detail` of a problem.
 * As on the server, a part in brackets is left out if an argument is missing.
 */
export function message(topic, code, values = {}) {
  const texts = MESSAGES[topic][code] || MESSAGES[topic].other;
  if (!texts) {
    return "";
  }
  const isKnown = (part) => [...part.matchAll(/\{(\w+)\}/g)].every(([, name]) => values[name] !== undefined);
  return texts[page.language].replace(/\[([^\]]*)\]/g, (whole, part) => (isKnown(part) ? part : ""))
    .replace(/\{(\w+)\}/g, (whole, name) => (values[name] === undefined ? "" : values[name]));
}

/** A problem of the server in the language of the page. What to do about it is only known in the language of the request. */
export function problemText(problem) {
  if (!problem.code) {
    return words().offline;
  }
  const title = `${message("title", problem.code)}.`;
  const isRussian = /[а-яё]/.test(problem.detail);
  const detail = isRussian === (page.language === "ru") ? problem.detail : "";
  return detail ? `${title} ${detail.charAt(0).toUpperCase()}${detail.slice(1)}.` : title;
}
