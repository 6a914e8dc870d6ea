// A page of the market, of a make or of a model: prices over time and by age, and listings.
import { day, exactly, money, month, number, shown } from "./amounts.js";
import { lineChart } from "./charts.js";
import { byId, element, inTask, page, words } from "./page.js";
import { read, startPage } from "./site.js";
import { translated } from "./values.js";

// What is shown; null before it is loaded.
let market = null;

/** The make and model of the address. */
function scopeOf(path) {
  const [, , brand, model] = path.split("/").map((part) => decodeURIComponent(part));
  return { brand, model };
}

const pageOf = () => Math.max(1, Number(new URLSearchParams(location.search).get("page")) || 1);
const addressOf = (...names) => inTask(["/market", ...names.map(encodeURIComponent)].join("/"));
const brandName = (brand) => translated("brand", brand, page.language);
const modelName = (model) => translated("model", model, page.language);

async function load() {
  byId("lead").textContent = words().loading;
  const query = new URLSearchParams(Object.entries(scopeOf(location.pathname)).filter(([, value]) => value));
  if (pageOf() > 1) {
    query.set("page", pageOf());
  }
  const noListings = () => (query.has("brand") ? words().notListed : words().noListings);
  const response = await read(inTask(`/v1/market?${query}`), { 404: noListings });
  market = response && await response.json();
  show();
}

function show() {
  byId("content").hidden = !market;
  showPath();
  if (!market) {
    byId("lead").textContent = "";
    return;
  }
  const { brand, model, listings } = market;
  const title = [brand && brandName(brand), model && modelName(model)].filter(Boolean).join(" ");
  byId("title").textContent = title || words().marketTitle;
  document.title = `${title || words().marketTitle} · Probeg`;
  byId("lead").textContent = words().marketLead(
    listings, number(listings), market.first_day && month(market.first_day), market.last_day && month(market.last_day), price(market.median_price));
  byId("content").replaceChildren(...[overTime(), byAge(), names(), recent()].filter(Boolean));
  drawCharts();
}

const unit = () => ({ unit: market.unit, price: market.median_price });
const price = (amount) => money(amount, unit());

/** The way back to the market and to the make. */
function showPath() {
  const { brand, model } = scopeOf(location.pathname);
  byId("path").hidden = !brand;
  byId("path").ariaLabel = words().path;
  if (brand) {
    const link = (text, ...to) => element("a", { href: addressOf(...to), textContent: text });
    const parts = [link(words().marketTitle)];
    if (model) {
      parts.push(element("span", { textContent: "›", ariaHidden: "true" }), link(brandName(brand), brand));
    }
    byId("path").replaceChildren(...parts);
  }
}

function section(title, ...children) {
  return element("section", {}, element("h2", { textContent: title }), ...children);
}

/** A table that scrolls if it is wide, by keyboard too. Its first column names the rows. */
function table(title, heads, rows) {
  const cell = (content) => element("td", {}, content);
  const row = ([name, ...cells]) => element("tr", {}, element("th", { scope: "row" }, name), ...cells.map(cell));
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })));
  const made = element("table", { className: "names" }, element("thead", {}, head), element("tbody", {}, ...rows.map(row)));
  return element("div", { className: "wide", tabIndex: 0, role: "group", ariaLabel: title }, made);
}

const details = (content) => element("details", {}, element("summary", { textContent: words().values }), content);
// The charts, drawn once they are in the page and their width is known.
let charts = [];

function chart(title, points, about) {
  const figure = element("figure", {});
  charts.push(() => figure.replaceChildren(lineChart(figure, title, points, about)));
  return figure;
}

function drawCharts() {
  charts.forEach((draw) => draw());
}

/** The price level: what the usual car of the last period would have cost before. */
function overTime() {
  charts = [];
  const known = market.periods.filter(({ level }) => level !== null);
  if (!market.periods.length) {
    return section(words().overTime, element("p", { className: "hint", textContent: words().noDates }));
  }
  const heads = [words().period, words().level, words().median, words().listingCount];
  const share = (level) => (level === null ? "—" : number(level / known[0].level, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));
  const rows = market.periods.map(({ period, level, median_price: median, listings }) => [month(period), share(level), price(median), number(listings)]);
  const figures = details(table(words().overTime, heads, rows));
  if (known.length < 2) {
    return section(words().overTime, element("p", { className: "hint", textContent: words().noLevel }), figures);
  }
  const last = known[known.length - 1];
  const points = known.map(({ period, level }) => {
    const amount = (last.median_price * level) / last.level;
    return { x: Date.parse(period), price: amount, low: amount, high: amount, label: day(period, { month: "2-digit", year: "numeric" }), name: month(period) };
  });
  const change = number(last.level / known[0].level, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return section(words().overTime,
    element("p", { textContent: words().change(month(known[0].period), month(last.period), change) }),
    chart(words().overTime, points, unit()),
    element("p", { className: "hint", textContent: words().levelMeans }), figures);
}

function byAge() {
  if (market.ages.length < 2) {
    return null;
  }
  const points = market.ages.map(({ age, low, median_price: median, high }) => (
    { x: age, price: median, low, high, label: String(age), name: words().age(age) }));
  const rows = market.ages.map(({ age, low, median_price: median, high, listings }) => (
    [words().age(age), price(median), price(low), price(high), number(listings)]));
  const heads = [words().ageTitle, words().median, words().from, words().to, words().listingCount];
  return section(words().byAge,
    element("p", { className: "hint", textContent: words().byAgeMeans }),
    chart(words().byAge, points, unit()), details(table(words().byAge, heads, rows)));
}

/** The makes, or the models of the make. */
function names() {
  const { brand } = market;
  if (!market.names.length) {
    return null;
  }
  const title = brand ? words().models : words().makes;
  const rows = market.names.map(({ name, listings, median_price: median }) => [
    element("a", { href: brand ? addressOf(brand, name) : addressOf(name), textContent: brand ? modelName(name) : brandName(name) }),
    price(median), number(listings)]);
  return section(title, table(title, [brand ? words().modelTitle : words().make, words().median, words().listingCount], rows));
}

function recent() {
  if (!market.recent.length) {
    return null;
  }
  const card = ({ listing, price: asked }) => {
    const fields = ["mileage", "vehicle_generation", "engine_volume", "engine_power", "transmission", "drive", "region", "listing_date"];
    const facts = fields.filter((field) => listing[field] !== undefined).map((field) => shown(field, listing[field]));
    const name = [brandName(listing.brand), listing.model && modelName(listing.model)].filter(Boolean).join(" ");
    return element("li", {}, element("h3", { textContent: `${name}, ${listing.year}` }),
      element("p", { className: "facts", textContent: facts.join(" · ") }),
      element("p", { className: "prices" }, element("strong", { textContent: exactly(asked, unit()) })));
  };
  const to = (at, text, rel) => element("a", { href: `${location.pathname}?${withPage(at)}`, textContent: text, rel });
  const pages = element("nav", { className: "pages", ariaLabel: words().pagesLabel });
  if (market.page > 1) {
    pages.append(to(market.page - 1, words().newer, "prev"));
  }
  pages.append(words().pageOf(market.page, market.pages));
  if (market.page < market.pages) {
    pages.append(to(market.page + 1, words().older, "next"));
  }
  return section(words().recent, element("ul", { className: "cards" }, ...market.recent.map(card)), pages);
}

function withPage(at) {
  const query = new URLSearchParams(location.search);
  query.set("page", at);
  return query;
}

startPage(load, show);
let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (market && window.innerWidth !== drawnWidth) {
    drawnWidth = window.innerWidth;
    drawCharts();
  }
});
