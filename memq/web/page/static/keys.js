// Keys: what the keyboard does outside of fields.

import { openDialog } from "./actions.js";
import { el } from "./dom.js";
import { go, link } from "./router.js";
import { t } from "./words.js";

const VIEWS = { 1: "queues", 2: "server", 3: "connections", 4: "log" };

const HELP = [
  [["/"], "keyFilter"],
  [["j", "↓"], "keyDown"],
  [["k", "↑"], "keyUp"],
  [["Enter"], "keyOpen"],
  [["Esc"], "keyBack"],
  [["n", "p"], "keyPages"],
  [["r"], "keyRefresh"],
  [["1", "2", "3", "4"], "keyViews"],
  [["?"], "keyHelp"],
];

export function openHelp(app) {
  if (document.querySelector("dialog[open]")) {
    return;
  }
  const rows = HELP.map(([keys, words]) => el("div", {},
    el("dt", {}, keys.map((key) => el("kbd", {}, key))), el("dd", {}, t(words))));
  openDialog({
    title: t("help"),
    parts: [el("dl", { class: "keys" }, rows)],
    label: t("close"),
    isTold: true,
    app,
    send: async () => {},
  });
}

function isField(element) {
  return element.closest("input, textarea, select, [contenteditable]") !== null;
}

// Listen; view() returns the view that is shown, and back() leaves it.
export function listenToKeys(app, view, back) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) {
      return;
    }
    if (document.querySelector("dialog[open]") || isField(event.target)) {
      return;
    }
    if (event.key === "?") {
      openHelp(app);
    } else if (event.key === "Escape") {
      back();
    } else if (event.key in VIEWS) {
      go(link(VIEWS[event.key]));
    } else if (!view()?.key(event)) {
      return;
    }
    event.preventDefault();
  });
}
