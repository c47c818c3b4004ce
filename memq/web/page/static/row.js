// Row: one queue in the list.

import { el, nameOf, setText } from "./dom.js";
import { bytes, number, rate, since } from "./format.js";
import { Sparkline } from "./plot.js";
import { link } from "./router.js";
import { t } from "./words.js";

// The columns: their classes, their words, what the server sorts by, and their text.
export const COLUMNS = [
  { key: "queue", label: "columnName", sort: "name" },
  {
    key: "messages", label: "columnMessages", hint: "hintMessages", sort: "messages",
    text: (row) => number(row.messages),
  },
  {
    key: "age", label: "columnAge", hint: "hintAge", sort: "age",
    text: (row) => (row.messages ? since(row.oldest) : "–"),
  },
  {
    key: "in", label: "columnIn", hint: "hintIn", sort: "in",
    text: (row) => rate(row.in),
  },
  {
    key: "out", label: "columnOut", hint: "hintOut", sort: "out",
    text: (row) => rate(row.out),
  },
  { key: "trend", label: "columnTrend", hint: "hintTrend" },
  {
    key: "open", label: "columnOpen", hint: "hintOpen", sort: "open",
    text: (row) => number(row.open),
  },
  {
    key: "waiters", label: "columnWaiters", hint: "hintWaiters", sort: "waiters",
    text: (row) => number(row.waiters),
  },
  {
    key: "delayed", label: "columnDelayed", hint: "hintDelayed",
    text: (row) => number(row.delayed),
  },
  {
    key: "bytes", label: "columnBytes", hint: "hintBytes", sort: "bytes",
    text: (row) => bytes(row.bytes),
  },
  {
    key: "limit", label: "columnLimit", hint: "hintLimit",
    text: (row) => number(row.limit),
  },
];

// A queue holds this much of its limit when it is said to be nearly full.
const NEARLY = 0.9;

// Return what is to be said of a queue at once, as [class, text].
export function badgesOf({ paused, limit, messages }) {
  const found = [];
  if (paused?.length > 1) {
    found.push(["paused", t("badgePaused")]);
  } else if (paused?.length) {
    const what = t(paused[0] === "reads" ? "reads" : "writes");
    found.push(["paused", t("badgePausedPart", { what })]);
  }
  if (limit && messages >= limit) {
    found.push(["full", t("badgeFull")]);
  } else if (limit && messages >= limit * NEARLY) {
    found.push(["nearly", t("badgeNearly")]);
  }
  return found;
}

export class Row {
  constructor(name) {
    this.name = name;
    this.sparkline = new Sparkline(["in", "out"]);
    this.link = el("a", { href: link("queue", name), tabindex: -1 }, nameOf(name));
    this.badges = el("span", { class: "badges" });
    this.cells = new Map();
    const cells = COLUMNS.map((column) => {
      if (column.key === "queue") {
        return el("th", { scope: "row", class: "queue" },
          el("div", {}, this.link, this.badges));
      }
      const cell = el("td", { class: column.key, "data-label": t(column.label) });
      if (column.key === "trend") {
        cell.append(this.sparkline.element);
      } else {
        this.cells.set(column, cell);
      }
      return cell;
    });
    this.element = el("tr", { onclick: (event) => this.clicked(event) }, cells);
    this.element.dataset.name = name;
  }

  update(figures) {
    for (const [column, cell] of this.cells) {
      const text = column.text(figures);
      setText(cell, text);
      cell.classList.toggle("zero", text === "0" || text === "–");
    }
    const badges = badgesOf(figures);
    const said = badges.map(([, text]) => text).join();
    if (said !== this.said) {
      this.said = said;
      this.badges.replaceChildren(
        ...badges.map(([kind, text]) => el("span", { class: `badge ${kind}` }, text)),
      );
    }
  }

  trend(figures) {
    // The first tick knows no rates yet.
    if (typeof figures.in === "number" && typeof figures.out === "number") {
      this.sparkline.add(figures.in, figures.out);
    }
  }

  // A click anywhere in the row opens it, unless some of its text was marked.
  clicked(event) {
    if (!event.target.closest("a") && getSelection().isCollapsed) {
      this.link.click();
    }
  }

  isFocused() {
    return document.activeElement === this.link;
  }

  focus() {
    this.link.focus();
    this.element.scrollIntoView({ block: "nearest" });
  }

  reach(isReached) {
    this.link.tabIndex = isReached ? 0 : -1;
  }
}
