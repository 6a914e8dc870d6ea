// Swagger UI with the OpenAPI document, made accessible where it is not by itself.
const { SwaggerUIBundle } = window;
const page = document.getElementById("swagger-ui");

/** Names and roles that Swagger UI leaves out; it renders anew whenever something is opened. */
function mend() {
  for (const link of page.querySelectorAll("button a.nostyle[href]")) {
    // A link within a button: the button itself opens the operation and sets the address.
    link.removeAttribute("href");
  }
  name("select:not([aria-label])", (select) => (select.id === "servers" ? "Server" : labelOf(select)));
  name(".parameters input:not([aria-label]), .parameters textarea:not([aria-label]), textarea:not([aria-label])", labelOf);
  name(".copy-to-clipboard button:not([aria-label])", () => "Copy");
  // There is no heading of the second level.
  set("h3", "aria-level", "2");
  set("h4", "aria-level", "3");
  set("h5", "aria-level", "4");
  set("pre.microlight", "tabindex", "0");
  // Each of several tables of responses is a region of the same name.
  for (const table of page.querySelectorAll("table[role=region]")) {
    table.removeAttribute("role");
  }
}

function name(selector, text) {
  for (const element of page.querySelectorAll(selector)) {
    element.setAttribute("aria-label", text(element));
  }
}

function set(selector, attribute, value) {
  for (const element of page.querySelectorAll(`${selector}:not([${attribute}="${value}"])`)) {
    element.setAttribute(attribute, value);
  }
}

/** The name of the parameter in the row of a control, or what the control is placed under. */
function labelOf(control) {
  const row = control.closest("tr[data-param-name]");
  return (row && row.dataset.paramName) || control.getAttribute("placeholder") || "Value";
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followTheme);
followTheme();
// Once a frame, however much has changed.
let isDue = false;
const mendSoon = () => {
  if (!isDue) {
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      mend();
    });
  }
};
new MutationObserver(mendSoon).observe(page, { childList: true, subtree: true });
SwaggerUIBundle({
  domNode: page,
  url: "/openapi.json",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  // The badge would send the address of the document to a validator elsewhere.
  validatorUrl: "none",
});
