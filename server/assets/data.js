// The data page: the report on the listings, made by the server.
import { byId, element, inTask, words } from "./page.js";
import { explain, read, startPage } from "./site.js";

const POLL_MS = 700;
// The number of the last load, to detect that another one has begun.
let loads = 0;

async function load() {
  loads += 1;
  const own = loads;
  byId("content").hidden = true;
  byId("lead").textContent = words().loading;
  for (;;) {
    const response = await read(inTask("/v1/report"), { 404: () => words().noListings });
    if (own !== loads) {
      return;
    }
    if (!response) {
      byId("lead").textContent = "";
      return;
    }
    if (response.status === 200) {
      showReport(await response.text());
      return;
    }
    byId("lead").textContent = words().reportComing;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Shows the parts of the report. Its own script and styles are left out: this page has them, and its policy forbids inline ones. */
function showReport(text) {
  const report = new DOMParser().parseFromString(text.replace(/<style>[^]*?<\/style>/g, ""), "text/html");
  byId("lead").replaceChildren(...report.querySelector(".lead").childNodes);
  const sections = element("div", { className: "sections" }, ...report.querySelector(".sections").childNodes);
  byId("content").replaceChildren(report.querySelector(".contents"), sections);
  byId("content").hidden = false;
  explain(null);
}

startPage(load, () => {});
