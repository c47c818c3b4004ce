// Settings: what this browser remembers, the language and the colour scheme.

const SCHEMES = ["auto", "light", "dark"];
const LANGUAGES = ["en", "zh"];

function read(key) {
  try {
    return localStorage.getItem(`memq.${key}`);
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(`memq.${key}`, value);
  } catch {
    // It holds until the page is left.
  }
}

let chosenLanguage = null;

// Return "en" or "zh": what was chosen, else the first that the browser names.
export function language() {
  const chosen = chosenLanguage ?? read("language");
  if (LANGUAGES.includes(chosen)) {
    return chosen;
  }
  for (const each of navigator.languages ?? [navigator.language]) {
    const short = each.slice(0, 2).toLowerCase();
    if (LANGUAGES.includes(short)) {
      return short;
    }
  }
  return "en";
}

export function setLanguage(value) {
  chosenLanguage = value;
  write("language", value);
}

// Return "auto", "light" or "dark".
export function scheme() {
  return document.documentElement.dataset.scheme ?? "auto";
}

// Take the next scheme, and return it.
export function nextScheme() {
  const next = SCHEMES[(SCHEMES.indexOf(scheme()) + 1) % SCHEMES.length];
  if (next === "auto") {
    delete document.documentElement.dataset.scheme;
  } else {
    document.documentElement.dataset.scheme = next;
  }
  write("scheme", next);
  return next;
}
