// Log: the last lines that the server logged, and those that come.

import { el, setText, visible } from "./dom.js";
import { clock, now } from "./format.js";
import { Stream } from "./stream.js";
import { t } from "./words.js";

const LINES = 1000;
const AGAIN = 3000;
const LEVELS = ["debug", "info", "warn", "error", "critical"];

export class LogView {
  constructor(app) {
    this.app = app;
    this.title = t("log");
    this.lines = [];
    this.filter = el("input", {
      type: "search", id: "filter", placeholder: t("logHint"), "aria-label": t("filter"),
      "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false",
      oninput: () => this.draw(),
      onkeydown: (event) => this.filterKey(event),
    });
    this.level = el("select", { "aria-label": t("logLevel"), onchange: () => this.draw() },
      el("option", { value: 0 }, t("levelAll")),
      el("option", { value: 2 }, t("levelWarn")));
    this.follow = el("input", { type: "checkbox", checked: true });
    this.list = el("ol", {
      class: "log panel", tabindex: 0, role: "log", "aria-label": t("log"),
    });
    this.state = el("span", { class: "muted", role: "status" });
    this.element = el("div", {},
      el("div", { class: "tools" }, this.filter, this.level,
        el("label", { class: "check" }, this.follow, t("follow")), this.state),
      this.list);
    this.onVisible = () => this.open();
  }

  start() {
    this.app.live.watch([]);
    document.addEventListener("visibilitychange", this.onVisible);
    this.open();
  }

  close() {
    this.source?.close();
    clearTimeout(this.again);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  open() {
    this.source?.close();
    clearTimeout(this.again);
    if (document.hidden) {
      return;
    }
    setText(this.state, t("stateWaiting0"));
    let isFirst = true;
    const take = (line) => {
      if (isFirst) {
        // The server tells the last lines again.
        isFirst = false;
        this.lines = [];
        this.list.replaceChildren();
      }
      this.add(line);
    };
    this.source = new Stream("/log", {
      open: () => setText(this.state, ""),
      line: take,
      lost: ({ lines }) => take({
        level: "warn", text: t("linesLost", { n: lines }), at: now(),
      }),
      error: (problem) => this.failed(problem),
    });
  }

  failed(problem) {
    if (problem.status === 403) {
      setText(this.state, problem.message); // Nor will it be allowed in a while.
      return;
    }
    setText(this.state, t("stateWaiting0"));
    this.again = setTimeout(() => this.open(), AGAIN);
  }

  add(line) {
    this.lines.push(line);
    this.lines.splice(0, this.lines.length - LINES);
    if (this.isShown(line)) {
      this.list.append(this.item(line));
      while (this.list.children.length > LINES) {
        this.list.firstChild.remove();
      }
      this.scroll();
    }
  }

  isShown({ level, text }) {
    const words = this.filter.value.trim().toLowerCase();
    const least = Number(this.level.value);
    return LEVELS.indexOf(level ?? "info") >= least && text.toLowerCase().includes(words);
  }

  item({ at, level, text }) {
    return el("li", { class: LEVELS.includes(level) ? level : "info" },
      el("time", {}, clock(at)),
      el("span", {}, visible(text)));
  }

  draw() {
    const shown = this.lines.filter((line) => this.isShown(line));
    this.list.replaceChildren(...shown.map((line) => this.item(line)));
    setText(this.state, shown.length || !this.lines.length ? "" : t("noLines"));
    this.scroll();
  }

  scroll() {
    if (this.follow.checked) {
      this.list.scrollTop = this.list.scrollHeight;
    }
  }

  filterKey(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      this.filter.value = "";
      this.draw();
      this.filter.blur();
    } else if (event.key === "Enter") {
      this.list.focus();
    }
  }

  tick() {}

  key(event) {
    if (event.key === "/") {
      this.filter.focus();
    } else if (event.key === "j" || event.key === "k") {
      this.follow.checked = false;
      this.list.scrollBy({ top: event.key === "j" ? 60 : -60 });
    } else {
      return false;
    }
    return true;
  }
}
