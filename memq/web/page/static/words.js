// Words: the text of the page in the language that is chosen.

import { english } from "./english.js";
import { chinese } from "./chinese.js";
import { language } from "./settings.js";

const TABLES = { en: english, zh: chinese };

// Return the text of a key, with {name} replaced by values.name.
export function t(key, values = {}) {
  const text = TABLES[language()][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Return the tag of the language, for HTML and for Intl.
export function locale() {
  return language() === "zh" ? "zh-CN" : "en-GB";
}
