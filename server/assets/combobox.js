// A text field with a list of suggestions: the pattern "combobox with list autocomplete" of the ARIA practices guide.
import { element } from "./page.js";

/**
 * Adds a list of suggestions to a field. `suggest(text, signal)` returns options with a `label` and perhaps a `note`, for an empty
 * text all; `choose(option)` takes the chosen one.
 */
export function addSuggestions(input, { suggest, choose }) {
  const list = element("ul", { id: `list-${input.name}`, className: "options", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-labelledby", `label-${input.name}`);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", list.id);
  input.after(list);

  let options = [];
  let active = -1;
  let request = null;
  // The keys that were pressed before the suggestions for the text had come.
  let queued = [];

  function close() {
    if (request) {
      request.abort();
      request = null;
    }
    queued = [];
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    activate(-1);
  }

  function activate(index) {
    active = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    if (index < 0) {
      input.removeAttribute("aria-activedescendant");
    } else {
      input.setAttribute("aria-activedescendant", list.children[index].id);
      list.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  /** Shows what fits the text; all that there is if the text is not being typed. */
  async function open(text) {
    if (request) {
      request.abort();
    }
    const own = new AbortController();
    request = own;
    const found = await suggest(text, own.signal).catch(() => []);
    if (own.signal.aborted || document.activeElement !== input) {
      return;
    }
    request = null;
    options = found;
    list.replaceChildren(...found.map((option, at) => itemOf(option, at)));
    activate(-1);
    const isUseless = found.length === 0 || (found.length === 1 && found[0].label === input.value);
    list.hidden = isUseless;
    input.setAttribute("aria-expanded", String(!isUseless));
    const keys = isUseless ? [] : queued;
    queued = [];
    keys.forEach(press);
  }

  /** Moves to another suggestion, or takes the active one. */
  function press(key) {
    if (key !== "Enter") {
      const places = options.length + 1;
      activate((active + 1 + (key === "ArrowDown" ? 1 : -1) + places) % places - 1);
    } else if (active >= 0) {
      take(options[active]);
    }
  }

  function itemOf(option, at) {
    const item = element("li", { id: `${list.id}-${at}` }, element("span", { textContent: option.label }));
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    if (option.note) {
      item.append(" ", element("small", { textContent: option.note }));
    }
    // The field keeps the focus.
    item.addEventListener("pointerdown", (event) => event.preventDefault());
    item.addEventListener("click", () => take(option));
    return item;
  }

  function take(option) {
    close();
    choose(option);
  }

  input.addEventListener("input", () => {
    queued = [];
    open(input.value.trim());
  });
  input.addEventListener("focus", () => open(""));
  input.addEventListener("click", () => {
    if (list.hidden) {
      open("");
    }
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) {
      close();
      event.preventDefault();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (request) {
        queued.push(event.key);
      } else if (list.hidden) {
        open("");
      } else {
        press(event.key);
      }
    } else if (event.key === "Enter" && (active >= 0 || queued.length > 0)) {
      // The form is not submitted.
      event.preventDefault();
      if (request) {
        queued.push(event.key);
      } else {
        press(event.key);
      }
    } else if (event.key === "Tab" && active >= 0) {
      take(options[active]);
    }
  });
}
