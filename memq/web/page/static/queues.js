// Queues: the list, filtered, sorted and paged by the server.

import { ApiError, get, withQuery } from "./api.js";
import { command, el, setText, visible } from "./dom.js";
import { number, setClock } from "./format.js";
import { Row, COLUMNS } from "./row.js";
import { go, link } from "./router.js";
import { Summary } from "./summary.js";
import { t } from "./words.js";

const PAGE = 100;
// Milliseconds between two looks at the list, and where there are many queues.
const AGAIN = 5000;
const AGAIN_MANY = 30000;
const MANY = 5000;
// Milliseconds after the last letter of a filter.
const TYPED = 250;
const FIRST_ORDER = { name: "asc" };

// Return the pattern that a filter means: text without a wild card may stand anywhere.
function patternOf(filter) {
  return !filter || /[*?[]/.test(filter) ? filter : `*${filter}*`;
}

export class QueuesView {
  constructor(app, { values }) {
    this.app = app;
    this.title = t("queues");
    this.values = { sort: "messages", order: "desc", ...values };
    this.rows = new Map();
    this.inView = new Set();
    this.next = null;
    this.build();
  }

  build() {
    this.summary = new Summary(this.app);
    this.filter = el("input", {
      type: "search",
      id: "filter",
      placeholder: t("filterHint"),
      "aria-label": t("filter"),
      "aria-keyshortcuts": "/",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 250,
      oninput: () => this.typed(),
      onkeydown: (event) => this.filterKey(event),
    });
    this.filter.value = this.values.match ?? "";
    this.sorter = this.buildSorter();
    this.count = el("span", { class: "muted count", role: "status" });
    this.head = el("tr", {}, COLUMNS.map((column) => this.heading(column)));
    this.body = el("tbody", {});
    this.table = el(
      "table",
      { class: "queues" },
      el("caption", { class: "unseen" }, t("queues")),
      el("thead", {}, this.head),
      this.body,
    );
    this.note = el("div", { class: "note", hidden: true });
    this.pager = el("nav", { class: "pager", "aria-label": t("pages") });
    this.element = el(
      "div",
      {},
      this.summary.element,
      el("div", { class: "tools" }, this.filter, this.sorter, this.count),
      el("div", { class: "panel list" }, this.table, this.note),
      this.pager,
    );
    this.observer = new IntersectionObserver((entries) => this.seen(entries), {
      rootMargin: "80px",
    });
  }

  heading(column) {
    const label = t(column.label);
    const hint = column.hint ? t(column.hint) : null;
    if (!column.sort) {
      return el("th", { scope: "col", class: column.key, title: hint }, label);
    }
    const isSorted = column.sort === this.values.sort;
    const order = this.values.order === "asc" ? "ascending" : "descending";
    return el(
      "th",
      { scope: "col", class: column.key, "aria-sort": isSorted ? order : null },
      el(
        "button",
        { type: "button", title: hint, onclick: () => this.sort(column.sort) },
        label,
        el("span", { class: "order", "aria-hidden": "true" }),
      ),
    );
  }

  // On a phone there are no headings to press.
  buildSorter() {
    const options = COLUMNS.filter((column) => column.sort).map((column) =>
      el(
        "option",
        { value: column.sort, selected: column.sort === this.values.sort },
        t(column.label),
      ),
    );
    return el(
      "select",
      {
        class: "sorter",
        "aria-label": t("sortBy"),
        onchange: (event) => this.sort(event.target.value),
      },
      options,
    );
  }

  start() {
    this.load();
  }

  close() {
    this.isClosed = true;
    this.request?.abort();
    clearTimeout(this.again);
    clearTimeout(this.typing);
    this.observer.disconnect();
  }

  // Show the same list with other values.
  change(values, isReplaced = false) {
    go(link("queues", "", { ...this.values, ...values }), isReplaced);
  }

  // Take new values without losing what has the focus.
  move({ values }) {
    this.values = { sort: "messages", order: "desc", ...values };
    if (document.activeElement !== this.filter) {
      this.filter.value = this.values.match ?? "";
    }
    this.sorter.value = this.values.sort;
    const focused = [...this.head.children].findIndex((each) =>
      each.contains(document.activeElement),
    );
    this.head.replaceChildren(...COLUMNS.map((column) => this.heading(column)));
    if (focused >= 0) {
      this.head.children[focused].querySelector("button")?.focus();
    }
    this.load();
  }

  sort(by) {
    const first = FIRST_ORDER[by] ?? "desc";
    const other = this.values.order === "asc" ? "desc" : "asc";
    const order = by === this.values.sort ? other : first;
    this.change({ sort: by, order, after: "", from: "" });
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.change({ match: this.filter.value.trim(), after: "", from: "" }, true);
    }, TYPED);
  }

  filterKey(event) {
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      this.step(0);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (this.filter.value) {
        this.filter.value = "";
        this.typed();
      } else {
        this.filter.blur();
      }
    }
  }

  async load() {
    clearTimeout(this.again);
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    const { match, sort, order, after } = this.values;
    const path = withQuery("/queues", {
      match: patternOf(match), sort, order, limit: PAGE, after,
    });
    let total = 0;
    try {
      const list = await get(path, request.signal);
      total = list.total;
      setClock(list.at);
      this.show(list);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        if (request.signal.aborted) {
          return;
        }
        throw error;
      }
      this.failed(error);
    }
    if (!this.isClosed) {
      const wait = total > MANY ? AGAIN_MANY : AGAIN;
      this.again = setTimeout(() => this.reload(), wait);
    }
  }

  // Look again, unless nobody sees it or something is being done in a dialog.
  reload() {
    if (document.hidden || document.querySelector("dialog[open]")) {
      this.again = setTimeout(() => this.reload(), AGAIN);
    } else {
      this.load();
    }
  }

  show(list) {
    const active = document.activeElement?.closest("tr")?.dataset.name;
    const focused = active ?? this.app.cameFrom;
    this.app.cameFrom = null;
    const old = this.rows;
    this.rows = new Map();
    for (const figures of list.queues) {
      const row = old.get(figures.name) ?? new Row(figures.name);
      row.update(figures);
      this.rows.set(figures.name, row);
      old.delete(figures.name);
    }
    for (const row of old.values()) {
      this.observer.unobserve(row.element);
      this.inView.delete(row.name);
    }
    this.body.replaceChildren(...[...this.rows.values()].map((row) => row.element));
    for (const row of this.rows.values()) {
      this.observer.observe(row.element);
    }
    this.rows.get(focused)?.focus();
    this.mark();
    this.next = list.next;
    this.explain(list);
    this.page(list);
    this.watch();
    performance.mark("memq.list");
  }

  // Let Tab reach one row of all: the keys go on from there.
  mark() {
    const rows = [...this.rows.values()];
    const current = rows.find((row) => row.isFocused()) ?? rows[0];
    for (const row of rows) {
      row.reach(row === current);
    }
  }

  explain(list) {
    const { match } = this.values;
    setText(this.count, t("countQueues", { n: number(list.total) }));
    this.table.hidden = list.queues.length === 0;
    this.note.hidden = list.queues.length > 0;
    if (list.queues.length) {
      return;
    }
    if (match) {
      this.note.replaceChildren(
        el("h2", {}, t("noMatch")),
        el("p", { class: "wrap" }, t("noMatchWhy", { match: visible(match) })),
        el(
          "button",
          { type: "button", onclick: () => this.change({ match: "", after: "" }) },
          t("clearFilter"),
        ),
      );
    } else {
      this.note.replaceChildren(
        el("h2", {}, t("noQueues")),
        el("p", {}, t("noQueuesWhy")),
        command("memq push jobs hello", t("copy")),
      );
    }
  }

  failed(error) {
    if (this.rows.size && error.status === 0) {
      return; // The state of the connection says so.
    }
    this.rows.clear();
    this.body.replaceChildren();
    this.table.hidden = true;
    this.note.hidden = false;
    setText(this.count, "");
    this.pager.replaceChildren();
    this.note.replaceChildren(
      el("h2", {}, t("failed")),
      el("p", { class: "error", role: "alert" }, error.message),
      el("button", { type: "button", onclick: () => this.load() }, t("tryAgain")),
    );
  }

  page(list) {
    const from = Number(this.values.from) || 0;
    const to = from + list.queues.length;
    if (!this.values.after && !list.next) {
      this.pager.replaceChildren();
      return;
    }
    const parts = [];
    if (this.values.after) {
      const first = link("queues", "", { ...this.values, after: "", from: "" });
      parts.push(el("a", { href: first, class: "button" }, t("firstPage")));
      parts.push(el(
        "button",
        { type: "button", onclick: () => history.back() },
        t("previousPage"),
      ));
    }
    parts.push(el("span", { class: "muted" }, t("pageOf", {
      from: number(from + 1), to: number(to), total: number(list.total),
    })));
    if (list.next) {
      const values = { ...this.values, after: list.next, from: to };
      const next = link("queues", "", values);
      parts.push(el("a", { href: next, class: "button", rel: "next" }, t("nextPage")));
    }
    this.pager.replaceChildren(...parts);
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const { name } = target.dataset;
      if (isIntersecting) {
        this.inView.add(name);
      } else {
        this.inView.delete(name);
      }
    }
    this.watch();
  }

  watch() {
    this.app.live.watch([...this.rows.keys()].filter((name) => this.inView.has(name)));
  }

  tick({ server, queues }) {
    this.summary.tick(server);
    for (const figures of queues) {
      const row = this.rows.get(figures.name);
      row?.update(figures);
      row?.trend(figures);
    }
  }

  // Go down, or up, the rows; 0 for the first.
  step(by) {
    const rows = [...this.rows.values()];
    const at = rows.findIndex((row) => row.isFocused());
    const last = rows.length - 1;
    const to = at < 0 || by === 0 ? 0 : Math.max(0, Math.min(last, at + by));
    rows[to]?.focus();
    this.mark();
  }

  key(event) {
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const { key } = event;
    if (key in steps) {
      this.step(steps[key]);
    } else if (key === "/") {
      this.filter.focus();
      this.filter.select();
    } else if (key === "n" && this.next) {
      this.pager.querySelector("[rel=next]").click();
    } else if (key === "p" && this.values.after) {
      history.back();
    } else if (key === "r") {
      this.load();
    } else {
      return false;
    }
    return true;
  }
}
