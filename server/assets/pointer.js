// The values under the pointer of a plot that the server has drawn.
import { page } from "./page.js";

const distance = ([x, y], [otherX, otherY]) => Math.hypot(x - otherX, y - otherY);
const nearest = (places, measure) => places.reduce((best, place) => (measure(place) < measure(best) ? place : best));

/** Shows below a plot what is nearest to the pointer: the value of each curve, or the text of a mark. */
export function showValues(plot) {
  const output = plot.closest("figure")?.querySelector(".value");
  if (!output) {
    return;
  }
  const numbers = (text) => text.split(",").map(Number);
  const curves = [...plot.querySelectorAll("[data-points]")].map(({ dataset: { name, points } }) =>
    ({ name, points: points.split(" ").map(numbers) }));
  const marks = [...plot.querySelectorAll("[data-at]")].map((mark) => ({ mark, at: numbers(mark.dataset.at) }));
  const lines = [...plot.querySelectorAll("[data-line]")];
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    const scale = plot.viewBox.baseVal.width / box.width;
    const pointer = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const texts = curves.map(({ name, points }) => {
      const [, , step, value] = nearest(points, ([x]) => Math.abs(x - pointer[0]));
      return `${name}: ${step.toLocaleString(page.language)} → ${value.toPrecision(5)}`;
    });
    if (marks.length > 0) {
      const { mark } = nearest(marks, ({ at }) => distance(at, pointer));
      texts.push(mark.dataset.text);
      lines.forEach((line) => line.classList.toggle("chosen", line.dataset.line === mark.dataset.of));
    }
    output.textContent = texts.slice(0, 6).join(" · ");
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", () => {
    output.textContent = "";
    lines.forEach((line) => line.classList.remove("chosen"));
  });
}
