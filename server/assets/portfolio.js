// What a valued table adds up to: figures, a histogram, and the cars to look at first.
import { money, number, percent, shortly } from "./amounts.js";
import { byId, drawn, element, page } from "./page.js";
import { BULK } from "./words.js";

const words = () => BULK[page.language];
const unit = () => (page.task ? page.task.unit : "RUB");
/** An amount rounded like a price of its size. */
const amount = (value) => money(value, { price: Math.abs(value), unit: unit() });

export function showPortfolio(job) {
  const { portfolio, columns } = job;
  const has = portfolio && portfolio.valued > 0;
  byId("total").textContent = has ? amount(portfolio.total) : "";
  byId("figures").textContent = portfolio ? figuresOf(portfolio) : words().nothingValued;
  const unused = (columns || []).filter(({ field }) => field === null).map(({ header }) => header);
  byId("unused").textContent = unused.length ? words().unusedColumns(unused.join(", ")) : "";
  if (!portfolio) {
    return;
  }
  drawHistogram(byId("histogram"), portfolio.histogram);
  byId("histogram-text").textContent = has
    ? words().spread(amount(portfolio.spread[0]), amount(portfolio.spread[1]), amount(portfolio.median)) : "";
  byId("furthest-section").hidden = portfolio.furthest.length === 0;
  byId("furthest").replaceChildren(...portfolio.furthest.map((car) => carItem(car, words().listedAt(
    amount(car.listed), amount(car.price), percent(Math.abs(car.listed - car.price) / car.price), car.listed > car.price))));
  byId("widest").replaceChildren(...portfolio.widest.map((car) => carItem(car, words().between(
    amount(car.price), amount(car.low), amount(car.high)))));
  byId("first").tBodies[0].replaceChildren(...portfolio.first.map(carRow));
}

function figuresOf({ rows, valued, listed }) {
  const parts = [words().valuedRows(number(valued), number(rows))];
  if (listed) {
    const difference = listed[0] - listed[1];
    parts.push(words().listedTotal(amount(listed[0]), amount(Math.abs(difference)), difference >= 0));
  }
  return parts.join(" ");
}

const carItem = (car, text) =>
  element("li", {}, element("strong", { textContent: car.car || words().noName }),
    element("small", { textContent: `${words().rowOf(car.row)} · ${text}` }));

function carRow(car) {
  const cell = (text) => element("td", { textContent: text });
  const name = element("td", { textContent: car.car || words().noName });
  if (car.price === null) {
    name.append(element("small", { textContent: words().noPrice }));
  }
  return element("tr", {}, element("th", { scope: "row", textContent: String(car.row) }), name,
    cell(car.price === null ? "—" : amount(car.price)),
    cell(car.price === null ? "—" : `${amount(car.low)} – ${amount(car.high)}`),
    cell(car.listed === null ? "—" : amount(car.listed)));
}

/** How many cars are in each range of prices. The figures are in the text below. */
function drawHistogram(container, bars) {
  if (bars.length < 2) {
    container.replaceChildren();
    return;
  }
  const width = Math.max(200, Math.min(container.clientWidth || 640, 640));
  const [height, bottom] = [150, 22];
  const most = Math.max(...bars.map(({ count }) => count));
  const step = width / bars.length;
  const label = shortly(bars[0].from, { unit: unit() });
  const last = shortly(bars[bars.length - 1].to, { unit: unit() });
  const parts = bars.map(({ from, to, count }, at) => {
    const size = (count / most) * (height - bottom - 4);
    const bar = drawn("rect", { class: "bar-of", x: at * step + 1, y: height - bottom - size, width: step - 2, height: size });
    bar.append(drawn("title", {}, `${amount(from)} – ${amount(to)}: ${number(count)}`));
    return bar;
  });
  const floor = height - bottom;
  container.replaceChildren(drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words().histogram },
    ...parts, drawn("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }),
    drawn("text", { x: 0, y: height - 5 }, label), drawn("text", { x: width, y: height - 5, "text-anchor": "end" }, last)));
}
