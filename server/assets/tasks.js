// The tasks that the server has models for.
import { call, byId, element, page, words } from "./page.js";

/** Shows the tasks in the language of the page. */
export function translateTasks() {
  byId("task").replaceChildren(...page.tasks.map((task) =>
    element("option", { value: task.name, selected: task === page.task, textContent: taskLabel(task) })));
}

/** A task by its market and target; also by its name if several have the same. */
function taskLabel({ name, market, target, symbol }) {
  const alike = page.tasks.filter((task) => task.market === market && task.target === target);
  const label = `${marketName(market)}: ${words().targets[target]}${target === "days_listed" ? "" : `, ${symbol}`}`;
  return alike.length > 1 ? `${label} (${name})` : label;
}

/** The country of a market; a market that is not named by one keeps its name. */
function marketName(market) {
  if (!/^[a-z]{2}$/.test(market)) {
    return market;
  }
  const region = market.toUpperCase();
  return new Intl.DisplayNames([page.language], { type: "region" }).of(region) || region;
}

/** Finds out which tasks there are, and lets the user choose if there are several. Returns whether the key, if needed, is right. */
export async function loadTasks() {
  const response = await call("/v1/tasks");
  if (response.ok) {
    const list = await response.json();
    page.tasks = list.tasks.filter(({ champion }) => champion);
    page.default = list.default;
  }
  chooseTask();
  byId("choice").hidden = page.tasks.length < 2;
  return response.status !== 401;
}

/** The task that the address names, or else the default. */
export function chooseTask() {
  const named = new URLSearchParams(location.search).get("task");
  const byName = (wanted) => page.tasks.find(({ name }) => name === wanted);
  page.task = byName(named) || byName(page.default) || page.tasks[0] || null;
}
