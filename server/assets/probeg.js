// The page: what happens when.
import { draw, showAgain, showBar } from "./answer.js";
import { follow, fieldLeft, followPage, reset, value, valueRestored } from "./follow.js";
import {
  addressOf, assume, buildFields, clearErrors, emptied, isComplete, isUnfinished, loadKnown, restore, textOf, translateFields, typed,
} from "./form.js";
import { byId, page, problemText, words } from "./page.js";
import { chooseTask, loadTasks, translateTasks } from "./tasks.js";
import { isVersionField, likeliest, loadVersions } from "./versions.js";
import { saveTemplate } from "./workbook.js";

// The number of edits of the form, to detect that nobody has edited it.
let revision = 0;
// What the versions of a car depend on.
const VERSIONED_BY = ["brand", "model", "year", "vehicle_generation"];
// Whether the user has edited the car of the address.
let isEdited = false;
// Why the template was not saved.
let templateProblem = null;

function translate() {
  document.documentElement.lang = page.language;
  for (const node of document.querySelectorAll("[data-word]")) {
    node.textContent = words()[node.dataset.word];
  }
  byId("honest").hidden = page.task !== null && page.task.target !== "price";
  translateTasks();
  const other = page.language === "ru" ? "en" : "ru";
  byId("language").textContent = other === "en" ? "English" : "Русский";
  byId("language").lang = other;
  translateFields();
  showAgain();
  byId("template-state").textContent = templateProblem ? problemText(templateProblem) : "";
}

/**
 * Keeps the form in the address, so that it can be shared and gone back to. Only whole cars are gone back to: until the form is
 * complete, it takes the place of one that was not either, and leaves the address of a whole car alone unless it `isCleared`.
 */
function remember({ isCleared = false, isSameCar = false } = {}) {
  const address = addressOf();
  if (address === location.search || `${location.pathname}${location.search}` === address) {
    return;
  }
  if (isSameCar || !isComplete(location.search)) {
    history.replaceState(null, "", address);
  } else if (isCleared || isComplete(address)) {
    history.pushState(null, "", address);
  }
}

/** Loads the known values, and values the car if it is complete and nobody has edited it meanwhile. */
async function settle() {
  const opened = revision;
  await Promise.all([loadKnown().catch(() => {}), loadVersions(chosenCar())]);
  if (opened !== revision) {
    return;
  }
  translateFields();
  assume(likeliest(textOf));
  remember({ isSameCar: true });
  await valueRestored();
}

/** What the versions depend on, as it is written in the form. */
const chosenCar = () => ({ brand: textOf("brand"), model: textOf("model"), year: textOf("year"), generation: textOf("vehicle_generation") });

/** Offers the versions of the car, and assumes the likeliest. */
async function chooseVersion() {
  if (isUnfinished()) {
    return;
  }
  const before = revision;
  await loadVersions(chosenCar());
  if (assume(likeliest(textOf)) && (before === revision || !isUnfinished())) {
    followPage();
    remember({ isSameCar: before === revision });
  }
}

/** The user has chosen values of some fields. */
function filled(names) {
  edited();
  remember();
  chooseVersion();
  if (names.includes("brand") || names.includes("model")) {
    loadKnown().catch(() => {});
  }
}

/** The answer follows an edit. */
function edited() {
  isEdited = true;
  revision += 1;
  follow();
}

/** Fills the form from the address that the user went back or forward to. */
async function open() {
  clearErrors();
  isEdited = true;
  revision += 1;
  reset();
  chooseTask();
  restore();
  translate();
  await settle();
}

/** Loads what the page needs, again once a key is entered. */
async function start() {
  const isAllowed = await loadTasks().catch(() => true);
  translate();
  if (isAllowed) {
    await (isEdited ? loadKnown().catch(() => {}) : settle());
  }
}

buildFields(filled);
restore();
translate();
start();

byId("task").addEventListener("change", () => {
  page.task = page.tasks.find(({ name }) => name === byId("task").value) || null;
  clearErrors();
  remember();
  translate();
  edited();
  loadKnown().catch(() => {});
});
byId("car").addEventListener("submit", (event) => {
  event.preventDefault();
  revision += 1;
  remember();
  value();
});
byId("car").addEventListener("change", (event) => {
  remember();
  fieldLeft();
  if (VERSIONED_BY.includes(event.target.name)) {
    chooseVersion();
  }
});
// A field that was completed by a suggestion does not change when it is left.
byId("car").addEventListener("focusout", fieldLeft);
byId("car").addEventListener("input", (event) => {
  typed(event.target.name);
  edited();
  if (isVersionField(event.target.name) || VERSIONED_BY.includes(event.target.name)) {
    chooseVersion();
  }
});
byId("car").addEventListener("reset", () => {
  // The fields are only empty after this event.
  setTimeout(() => {
    emptied();
    edited();
    remember({ isCleared: true });
    loadKnown().catch(() => {});
  });
});
for (const name of ["brand", "model"]) {
  byId(`field-${name}`).addEventListener("change", () => loadKnown().catch(() => {}));
}
byId("template").addEventListener("click", async (event) => {
  event.preventDefault();
  templateProblem = await saveTemplate();
  translate();
});
byId("key").addEventListener("submit", (event) => event.preventDefault());
byId("api-key").addEventListener("change", start);
byId("language").addEventListener("click", () => {
  page.language = page.language === "ru" ? "en" : "ru";
  localStorage.setItem("language", page.language);
  translate();
});
window.addEventListener("popstate", open);

new IntersectionObserver(showBar, { threshold: [0, 1] }).observe(byId("price"));
let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  // A phone also resizes the window when its keyboard opens.
  if (window.innerWidth !== drawnWidth) {
    drawnWidth = window.innerWidth;
    draw();
  }
});
