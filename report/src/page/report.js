"use strict";
// Starts in the browser's language; a button switches it.
const show = (language) => { document.documentElement.lang = language; };
show((navigator.languages || [navigator.language]).some((language) => /^ru\b/i.test(language)) ? "ru" : "en");
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => show(button.dataset.language));
}
