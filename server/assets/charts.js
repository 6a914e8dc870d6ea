// Small pictures of the answer, drawn as SVG. What they show is also there as text.
import { day, exactly, money, number, shortly, shown } from "./amounts.js";
import { drawn, element, unitOf, words } from "./page.js";

const MAX_WIDTH = 640;
const widthOf = (container) => Math.max(200, Math.min(container.clientWidth || MAX_WIDTH, MAX_WIDTH));
// Half the width of a text, as letters of 12 pixels have on average.
const halfOf = (text) => 3.8 * text.length;
const point = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;

/** The distribution of prices: its density, the range, the price and, if any, the asking price. */
export function drawDistribution(container, valuation) {
  const asked = valuation.asking_price && valuation.asking_price.price;
  const samples = samplesOf(valuation.quantiles);
  const [least, most] = [samples[0], samples[samples.length - 1]];
  if (!(most > least)) {
    container.replaceChildren();
    return;
  }
  const bandwidth = 0.3 * (samples[150] - samples[50]) || 0.1 * (most - least);
  // The density is next to nothing there.
  const first = Math.min(least - 2 * bandwidth, valuation.low);
  const last = Math.max(most + 2 * bandwidth, valuation.high);
  const [width, height, top, bottom] = [widthOf(container), asked ? 140 : 122, 22, asked ? 42 : 24];
  const x = (price) => Math.min(1, Math.max(0, (price - first) / (last - first))) * width;
  const density = densityOf(samples, bandwidth);
  const prices = Array.from({ length: 81 }, (_, at) => first + ((last - first) * at) / 80);
  const highest = Math.max(...prices.map(density));
  const floor = height - bottom;
  const y = (price) => floor - (density(price) / highest) * (floor - top);
  const area = (from, to) => {
    const within = [from, ...prices.filter((price) => price > from && price < to), to];
    return [point(x(from), floor), ...within.map((price) => point(x(price), y(price))), point(x(to), floor)].join(" ");
  };
  const mark = (price, name) => drawn("line", { class: name, x1: x(price), x2: x(price), y1: top - 4, y2: floor });
  const label = (at, where, text, name = "") => {
    const middle = Math.max(halfOf(text), Math.min(at, width - halfOf(text)));
    return drawn("text", { x: middle, y: where, "text-anchor": "middle", class: name }, text);
  };
  const between = (x(valuation.low) + x(valuation.high)) / 2;
  const texts = [valuation.low, valuation.price, valuation.high].map((price) => money(price, valuation));
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "distribution" },
    drawn("title", {}, words().distribution(texts[0], texts[1], texts[2], asked && exactly(asked, valuation))),
    drawn("polygon", { class: "outside", points: area(first, last) }),
    drawn("polygon", { class: "inside", points: area(valuation.low, valuation.high) }),
    drawn("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }),
    mark(valuation.price, "own"), label(x(valuation.price), top - 9, texts[1], "strong"),
    // The ends of a narrow range are written apart.
    label(Math.min(x(valuation.low), between - halfOf(texts[0]) - 4), floor + 17, texts[0]),
    label(Math.max(x(valuation.high), between + halfOf(texts[2]) + 4), floor + 17, texts[2]));
  if (asked) {
    picture.append(mark(asked, "asked"), label(x(asked), floor + 36, words().askedFor(exactly(asked, valuation)), "asked"));
  }
  container.replaceChildren(picture);
}

/** Evenly spaced samples of the distribution, with tails somewhat beyond the outer quantiles. */
function samplesOf(quantiles) {
  const levels = quantiles.map(({ level }) => level);
  const prices = quantiles.map(({ price }) => price);
  const last = prices.length - 1;
  const known = [0, ...levels, 1];
  const at = [prices[0] - 0.5 * (prices[1] - prices[0]), ...prices, prices[last] + 0.5 * (prices[last] - prices[last - 1])];
  return Array.from({ length: 200 }, (_, index) => {
    const level = (index + 0.5) / 200;
    const above = known.findIndex((other) => other > level);
    const share = (level - known[above - 1]) / (known[above] - known[above - 1]);
    return at[above - 1] + share * (at[above] - at[above - 1]);
  });
}

/** A smooth density of samples in rising order. */
function densityOf(samples, bandwidth) {
  return (price) => samples.reduce((sum, sample) => sum + Math.exp(-0.5 * ((price - sample) / bandwidth) ** 2), 0);
}

/** The line charts of a valuation, each with its figures as a table. */
export function drawCurves(container, valuation) {
  const { mileage, years_ahead: ahead, history, yearly_mileage: yearly } = valuation.curves;
  const own = valuation.listing ? valuation.listing.mileage : null;
  const unit = unitOf("mileage");
  const amount = (value) => shown("mileage", value);
  const charts = [
    [words().byMileage(unit), mileage.map((point) => ({
      ...point, x: point.mileage, label: number(point.mileage, { notation: "compact" }), name: amount(point.mileage),
      isOwn: point.mileage === own,
    }))],
    [words().byYears(amount(yearly)), ahead.map((point) => ({
      ...point, x: point.years, label: point.date.slice(0, 4), isOwn: point.years === 0,
      name: point.years === 0 ? words().now : `${words().years(point.years)}, ${amount(point.mileage)}`,
    }))],
    [words().byDate, history.map((point) => ({
      ...point, x: Date.parse(point.date), label: day(point.date, { month: "2-digit", year: "numeric" }), name: day(point.date),
      isOwn: false,
    }))],
  ].filter(([, points]) => points.length > 1);
  const figures = charts.map(([title]) => element("figure", {}, element("h4", { textContent: title })));
  // The figures must be in the page before their width is known.
  container.replaceChildren(...figures);
  charts.forEach(([title, points], at) => {
    figures[at].append(lineChart(figures[at], title, points, valuation), tableOf(title, points, valuation));
  });
}

export function lineChart(container, title, points, valuation) {
  const [first, last] = [points[0].x, points[points.length - 1].x];
  const [ticks, most] = ticksOf(Math.min(...points.map(({ low }) => low)), Math.max(...points.map(({ high }) => high)));
  const least = ticks[0];
  const left = 12 + 6.8 * Math.max(...ticks.map((tick) => shortly(tick, valuation).length));
  const [width, height, right, top, bottom] = [widthOf(container), 180, 14, 10, 26];
  const x = (value) => left + ((value - first) / (last - first || 1)) * (width - left - right);
  const y = (price) => top + (1 - (price - least) / (most - least || 1)) * (height - top - bottom);
  const range = [...points.map(({ x: at, high }) => point(x(at), y(high))), ...points.map(({ x: at, low }) => point(x(at), y(low))).reverse()];
  const described = points.map(({ name, price }) => `${name}: ${money(price, valuation)}`).join("; ");
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "chart" }, drawn("title", {}, `${title}. ${described}`));
  for (const tick of ticks) {
    picture.append(
      drawn("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      drawn("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, shortly(tick, valuation)));
  }
  picture.append(
    drawn("polygon", { class: "inside", points: range.join(" ") }),
    drawn("polyline", { class: "line", points: points.map(({ x: at, price }) => point(x(at), y(price))).join(" ") }));
  let free = 0;
  for (const { x: at, price, label, isOwn } of points) {
    picture.append(drawn("circle", { class: isOwn ? "dot own" : "dot", cx: x(at), cy: y(price), r: isOwn ? 5 : 2.5 }));
    const half = halfOf(label);
    const middle = Math.min(x(at), width - half);
    // A label is left out where it would overlap the one before.
    if (middle - half >= free) {
      picture.append(drawn("text", { x: middle, y: height - 6, "text-anchor": "middle" }, label));
      free = middle + half + 6;
    }
  }
  return picture;
}

/** Round amounts from below the least to the most, at most five of them, and the upper end of the axis. */
function ticksOf(least, most) {
  const rough = (most - least) / 3 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let tick = Math.floor(least / step) * step; tick <= most; tick += step) {
    ticks.push(tick);
  }
  return [ticks, Math.max(most, ticks[ticks.length - 1])];
}

function tableOf(title, points, valuation) {
  const cell = (name, text, scope) => element(name, scope ? { scope, textContent: text } : { textContent: text });
  const rows = points.map(({ name, price, low, high }) => element("tr", {}, cell("th", name, "row"),
    cell("td", money(price, valuation)), cell("td", money(low, valuation)), cell("td", money(high, valuation))));
  const head = element("tr", {}, element("td", {}), ...[words().expected, words().from, words().to].map((text) => cell("th", text, "col")));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  // Wide tables scroll, by keyboard too.
  const frame = element("div", { className: "wide", tabIndex: 0, role: "group", ariaLabel: `${title}: ${words().values}` }, table);
  return element("details", {}, element("summary", { textContent: words().values }), frame);
}
