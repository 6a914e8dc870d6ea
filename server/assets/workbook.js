// Workbooks: uploaded, valued as a job, and saved.
import { number } from "./amounts.js";
import { byId, call, element, inTask, problemText, words } from "./page.js";

let saying = () => "";

/** Tells how far a workbook is. */
export function say(text) {
  saying = text;
  byId("upload-state").textContent = text();
}

export const translateState = () => say(saying);

/** Saves an answer under the name that the server gave it. */
export async function save(response, fallback) {
  const disposition = response.headers.get("Content-Disposition") || "";
  const full = /filename\*=UTF-8''([^;]+)/.exec(disposition);
  const plain = /filename="([^"]+)"/.exec(disposition);
  const name = full ? decodeURIComponent(full[1]) : plain ? plain[1] : fallback;
  const address = URL.createObjectURL(await response.blob());
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** Asks after a job until it is done, and saves its result. */
async function follow(place) {
  for (;;) {
    const job = await (await call(place)).json();
    if (job.state === "done") {
      await save(await call(job.result), "valued.xlsx");
      await call(place, { method: "DELETE" });
      const unused = (job.columns || []).filter((column) => column.field === null).map((column) => column.header);
      say(() => (unused.length ? words().doneWithout(unused.join(", ")) : words().done));
      return;
    }
    if (job.state !== "running") {
      say(() => problemText(job.error || job));
      return;
    }
    say(() => words().valued(job.valued, number(job.valued)));
    await new Promise((resume) => setTimeout(resume, 300));
  }
}

export async function upload(event) {
  event.preventDefault();
  const button = event.submitter || event.target.querySelector("[type=submit]");
  const form = new FormData();
  form.append("file", byId("file").files[0]);
  button.disabled = true;
  say(() => words().working);
  try {
    const response = await call(inTask("/v1/valuations/jobs?language=sheet"), { method: "POST", body: form });
    if (response.ok) {
      await follow(response.headers.get("Location"));
    } else {
      const problem = await response.json();
      say(() => problemText(problem));
    }
  } catch {
    say(() => words().offline);
  } finally {
    button.disabled = false;
  }
}

export async function template(event) {
  event.preventDefault();
  const response = await call(inTask("/v1/valuations/template.xlsx")).catch(() => null);
  if (response && response.ok) {
    await save(response, "template.xlsx");
  } else {
    const problem = response ? await response.json().catch(() => ({})) : {};
    say(() => problemText(problem));
  }
}
