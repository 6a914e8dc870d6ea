"use strict";
// The reader's language, until a button says otherwise.
const show = (language) => { document.documentElement.lang = language; };
show((navigator.languages || [navigator.language]).some((language) => /^ru\b/i.test(language)) ? "ru" : "en");
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => show(button.dataset.language));
}
