// The answer: the price, its range and reasons, similar cars and curves.
import { COLUMNS } from "./columns.js";
import { day, exactly, money, month, number, percent, roundToTotal, shown, stepOf } from "./amounts.js";
import { drawCurves, drawDistribution } from "./charts.js";
import { focusField } from "./form.js";
import { byId, element, inTask, message, nameOf, page, words } from "./page.js";
import { capital, proper, translated } from "./values.js";
import { assumedFields } from "./versions.js";

// What is shown: the price, what explains it, or what says in the language of the page why there is none.
let answer = null;
let details = null;
let explain = null;
// Takes the price away if the next one does not come in time.
let outdating = 0;
const MAX_OUTDATED_MS = 300;

/** Takes the price away: it never stands beside inputs that it is not for. Says instead what is missing, if anything. */
export function forget(waiting = () => words().empty) {
  settle();
  answer = null;
  details = null;
  byId("valuation").hidden = true;
  for (const id of ["summary", "price", "range", "assumption", "bar-price", "bar-range", "announcement"]) {
    byId(id).textContent = "";
  }
  byId("bar").hidden = true;
  showInstead("empty", waiting);
  document.title = "Probeg";
}

/** Shows that the price is not for the inputs any more, for the moment that the next one takes. */
export function outdate() {
  if (answer && !outdating) {
    byId("result").setAttribute("aria-busy", "true");
    document.body.classList.add("outdated");
    outdating = setTimeout(forget, MAX_OUTDATED_MS);
  }
}

function settle() {
  clearTimeout(outdating);
  outdating = 0;
  byId("result").removeAttribute("aria-busy");
  document.body.classList.remove("outdated", "outdated-details");
}

/** Shows a text in place of a price: in the paragraph for problems or in that for instructions. */
function showInstead(place, text) {
  explain = text;
  for (const id of ["empty", "problem"]) {
    byId(id).textContent = id === place ? text() : "";
    byId(id).hidden = id !== place;
  }
}

/** Brings the price or the problem into sight, and the focus to its heading. */
export function reveal() {
  const top = byId("result-title").getBoundingClientRect().top;
  const bottom = (byId("problem").hidden ? byId("range") : byId("problem")).getBoundingClientRect().bottom;
  if (top < 0 || bottom > window.innerHeight) {
    byId("result").scrollIntoView();
  }
  byId("result-title").focus({ preventScroll: true });
}

/** The price stays in sight: where its place is scrolled away, phones have it at the bottom. */
export function showBar() {
  const { top, bottom } = byId("price").getBoundingClientRect();
  byId("bar").hidden = answer === null || (top >= 0 && bottom <= window.innerHeight);
}

/** Shows a problem instead of a price. */
export function showProblem(problem) {
  forget();
  showInstead("problem", problem);
}

/** Shows the same in the language of the page. */
export function showAgain() {
  if (details) {
    show(details);
  } else if (answer) {
    showPrice(answer);
  } else {
    showInstead(byId("problem").hidden ? "empty" : "problem", explain || (() => words().empty));
  }
}

/** Shows the price of a valuation. What explains an earlier price stays until `show`, but fades. */
export function showPrice(valuation) {
  settle();
  document.body.classList.toggle("outdated-details", details !== null);
  byId("details").hidden = details === null;
  answer = valuation;
  explain = null;
  byId("empty").hidden = true;
  byId("problem").hidden = true;
  byId("valuation").hidden = false;
  const price = money(valuation.price, valuation);
  const [low, high] = [money(valuation.low, valuation), money(valuation.high, valuation)];
  byId("summary").textContent = summaryOf(valuation.listing);
  byId("price").textContent = price;
  byId("range").textContent = words().range(percent(valuation.level), low, high);
  const assumed = assumedFields().filter((name) => name in valuation.listing).map((name) => shown(name, valuation.listing[name]));
  byId("assumption").textContent = assumed.length > 0 ? words().assumedVersion(assumed.join(", ")) : "";
  byId("bar-price").textContent = price;
  byId("bar-range").textContent = `${low} – ${high}`;
  // Printed pages and bookmarks have this title.
  document.title = `${price} · ${titleOf(valuation.listing)} · Probeg`;
  const rating = valuation.asking_price;
  byId("rating").textContent = rating ? ratingText(rating, valuation) : "";
  byId("rating").dataset.rating = (rating && rating.rating) || "";
  byId("warnings").replaceChildren(...valuation.warnings.map((warning) => element("li", { textContent: remark(warning, valuation) })));
  drawDistribution(byId("distribution"), valuation);
  showBar();
}

/** Shows a valuation with all that explains it. */
export function show(valuation) {
  details = valuation;
  showPrice(valuation);
  document.body.classList.remove("outdated-details");
  byId("confidence").textContent = confidenceText(valuation.confidence);
  showQuestions(valuation);
  showFactors(valuation);
  showSimilar(valuation);
  showMarketLink(valuation.listing);
  const { version } = valuation.model;
  const link = element("a", { href: `/models/${version}`, textContent: words().modelVersion(version) });
  byId("model").replaceChildren(link, words().priceOf(day(valuation.as_of)));
  drawCurves(byId("charts"), valuation);
}

/** Tells screen readers the price, once the inputs have come to rest. */
export function announce() {
  byId("announcement").textContent = answer ? words().announced(byId("price").textContent, byId("range").textContent) : "";
}

/** Draws the pictures as wide as there is room. */
export function draw() {
  if (answer) {
    drawDistribution(byId("distribution"), answer);
  }
  if (details) {
    drawCurves(byId("charts"), details);
  }
}

function titleOf(car) {
  return ["brand", "model", "vehicle_generation"].filter((field) => car[field])
    .map((field) => translated(field, String(car[field]).toLowerCase(), page.language)).join(" ");
}

/** The car in a line: a printed page has no form. */
function summaryOf(car) {
  const others = COLUMNS.filter(({ name }) => !["brand", "model", "vehicle_generation"].includes(name) && name in car);
  return [titleOf(car), ...others.map(({ name }) => (name === "owners_count" ? `${nameOf(name)}: ${car[name]}` : shown(name, car[name])))].join(" · ");
}

function confidenceText({ code, similar_listings: similar, market_as_of: market, typical_error: error }) {
  const reasons = [];
  if (similar !== null) {
    reasons.push(similar === 0 ? words().noSimilarListings : words().similarListings(similar, number(similar)));
  }
  if (market !== null) {
    reasons.push(words().market(month(market)));
  }
  if (error !== null) {
    reasons.push(words().typicalError(percent(error)));
  }
  const degree = words().confidence[code];
  return reasons.length ? `${degree}: ${reasons.join(", ")}.` : `${degree}.`;
}

function ratingText({ price, rating, code, share_below: below, spread }, valuation) {
  const asked = exactly(price, valuation);
  // A share of 0 % or 100 % would say that there are no such cars.
  return rating ? words().rated(asked, words().rating[rating], percent(Math.min(Math.max(below, .01), .99))) : words().unrated[code](asked, percent(spread));
}

function remark(warning, valuation) {
  switch (warning.code) {
    case "unknown_value": {
      const { field, nearest } = warning;
      const shownNearest = nearest && words().quoted(translated(field, nearest, page.language));
      return capital(message("warning", warning.code, { field: nameOf(field), value: words().quoted(valuation.listing[field]), nearest: shownNearest }));
    }
    case "outdated_market":
      return words().outdated(day(valuation.market_as_of), day(valuation.as_of));
    case "comparables_unavailable":
      return words().withoutSimilar;
    default:
      return words().otherWarning;
  }
}

/** The fields that would narrow the range most; each leads to its field. */
function showQuestions(valuation) {
  const questions = (valuation.narrow || []).slice(0, 3);
  byId("next").hidden = questions.length === 0;
  byId("questions").replaceChildren(...questions.map(({ field, share }) => {
    const [name, gain] = words().question(nameOf(field), percent(share));
    const button = element("button", { type: "button" }, element("strong", { textContent: name }), ` — ${gain}`);
    button.addEventListener("click", () => focusField(field));
    return element("li", {}, button);
  }));
}

/** From the usual car to this one. The amounts are rounded so that those in sight add up. */
function showFactors(valuation) {
  const step = stepOf(valuation);
  const { baseline } = valuation;
  const total = Math.round(valuation.price / step) * step;
  const [usual, ...amounts] = roundToTotal([baseline.price, ...valuation.factors.map(({ amount }) => amount)], total, step);
  const rows = valuation.factors.map((factor, at) => ({ text: factorText(factor), amount: amounts[at] }));
  const signed = { signDisplay: "exceptZero" };
  byId("baseline").textContent = baseline.source === "listings" ? words().baseline.listings(baseline.listings) : words().baseline.assumed;
  byId("factors").replaceChildren(
    factorRow(words().usual, exactly(usual, valuation)),
    ...rows.filter(({ amount }) => amount !== 0)
      .map(({ text, amount }) => factorRow(text, exactly(amount, valuation, signed), amount > 0 ? "up" : "down")),
    factorRow(words().total, exactly(total, valuation), "total"));
  const unchanged = valuation.factors.filter((factor, at) => amounts[at] === 0).flatMap(({ fields }) => fields)
    .map(({ field }) => nameOf(field));
  byId("unchanged").textContent = unchanged.length ? words().asUsual(unchanged.map(uncapital).join(", ")) : "";
}

/** The name of a field within a sentence; abbreviations keep their capitals. */
const uncapital = (name) => (/^\p{Lu}\p{Ll}/u.test(name) ? name.charAt(0).toLowerCase() + name.slice(1) : name);

function factorRow(text, amount, name = "") {
  return element("li", { className: name }, element("span", { textContent: text }), " ", element("span", { className: "amount", textContent: amount }));
}

/** What differs from the usual car in a group of fields. */
function factorText({ field, fields }) {
  const described = fields.map(({ field: name, value, reference }) => [name, shown(name, value), shown(name, reference)]);
  const differing = described.filter(([, own, usual]) => own !== usual);
  const texts = differing.map(([name, own, usual]) => `${nameOf(name)}: ${words().instead(own, usual)}`);
  return texts.join("; ") || nameOf(field);
}

function showSimilar(valuation) {
  const similar = valuation.comparables || [];
  byId("similar").hidden = similar.length === 0;
  byId("cards").replaceChildren(...similar.map((car) => cardOf(car, valuation)));
}

/** A similar car: what it is, its price, the price adjusted to this car, and what differs. */
/** Leads from a car to the prices of its model. */
function showMarketLink(listing) {
  const names = listing ? [listing.brand, listing.model].filter(Boolean) : [];
  const link = () => element("a", {
    href: inTask(`/market/${names.map(encodeURIComponent).join("/")}`), textContent: words().toMarket(titleOf(listing)),
  });
  byId("market").replaceChildren(...(names.length ? [link()] : []));
}

function cardOf(car, valuation) {
  const target = page.task ? page.task.target : "price";
  const fields = ["mileage", "engine_volume", "engine_power", "transmission", "drive", "region", "listing_date"];
  const facts = fields.filter((field) => car[field] !== null).map((field) => shown(field, car[field]));
  const differences = car.differences.filter(({ field }) => field !== "listing_date")
    .map(({ field, value, reference }) => [field, shown(field, value), shown(field, reference)])
    .filter(([, own, listed]) => own !== listed)
    .map(([field, own, listed]) => element("li", { textContent: words().difference(nameOf(field), listed, own) }));
  return element("li", {},
    element("h4", { textContent: `${titleOf(car)}, ${car.year}` }),
    element("p", { className: "facts", textContent: facts.join(" · ") }),
    element("p", { className: "prices" },
      element("span", {}, `${money(car.price, valuation)} `, element("small", { textContent: words().listed[target] })),
      element("strong", {}, `${money(car.adjusted_price, valuation)} `, element("small", { textContent: words().forThis }))),
    differences.length ? element("ul", { className: "differences" }, ...differences) : element("p", { className: "facts", textContent: words().same }));
}
