// The files that a server returns: saved by the browser.
import { call, element, inTask, page } from "./page.js";

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

/** Saves the template for many cars; returns the problem if there is one. */
export async function saveTemplate() {
  const response = await call(inTask(`/v1/valuations/template.xlsx?language=${page.language}`)).catch(() => null);
  if (response && response.ok) {
    await save(response, "template.xlsx");
    return null;
  }
  return response ? response.json().catch(() => ({})) : {};
}
