// Queue: one queue, its figures, plots, rules and messages, and what can be done.

import { ApiError, get, queuePath } from "./api.js";
import { actionsOf, openAction } from "./actions.js";
import { command, el, nameOf, setText, visible } from "./dom.js";
import { bytes, now, number, rate, since } from "./format.js";
import { Messages } from "./messages.js";
import { Plot, Series } from "./plot.js";
import { badgesOf } from "./row.js";
import { link } from "./router.js";
import { t } from "./words.js";

// Milliseconds between two looks at the rules.
const AGAIN = 10000;
const KEYS = ["messages", "in", "out"];

const FIGURES = [
  ["columnMessages", (q) => number(q.messages)],
  ["columnAge", (q) => (q.messages ? since(q.oldest) : "–")],
  ["columnIn", (q) => rate(q.in)],
  ["columnOut", (q) => rate(q.out)],
  ["columnOpen", (q) => number(q.open)],
  ["columnWaiters", (q) => number(q.waiters)],
  ["columnDelayed", (q) => number(q.delayed)],
  ["columnBytes", (q) => bytes(q.bytes)],
  ["columnLimit", (q) => number(q.limit)],
];
const COUNTERS = [
  ["counterSet", "set"],
  ["counterTaken", "taken"],
  ["counterClosed", "closed"],
  ["counterReturned", "returned"],
  ["counterExpired", "expired"],
  ["counterDiscarded", "discarded"],
  ["counterRefused", "refusedSum"],
];

function list(entries) {
  return entries.map(([label, figure]) =>
    el("div", {}, el("dt", {}, t(label)), figure),
  );
}

export class QueueView {
  constructor(app, { name }) {
    this.app = app;
    this.name = name;
    this.title = visible(name);
    this.series = new Series(KEYS);
    this.figures = FIGURES.map(([label, text]) => [label, el("dd", {}, "–"), text]);
    this.counters = COUNTERS.map(([label, key]) => [label, el("dd", {}, "–"), key]);
    this.build();
  }

  build() {
    this.badges = el("span", { class: "badges" });
    this.dead = el("span", { class: "muted" });
    this.deadLetter = null;
    this.actions = el("div", { class: "actions", role: "group" });
    this.actions.setAttribute("aria-label", t("actions"));
    this.failure = el("div", { class: "note panel", hidden: true });
    this.depth = new Plot(
      t("plotDepth"),
      [{ key: "messages", label: t("plotMessages"), format: number, style: "messages",
         isFilled: true }],
      true,
    );
    this.rates = new Plot(t("plotRates"), [
      { key: "in", label: t("columnIn"), format: rate, style: "in" },
      { key: "out", label: t("columnOut"), format: rate, style: "out" },
    ]);
    this.rules = el("div", { class: "scroll" });
    this.messages = new Messages(this.name, this.app);
    this.content = el(
      "div",
      {},
      el("section", { class: "panel" },
        el("h2", { class: "unseen" }, t("figures")),
        el("dl", { class: "figures" }, list(this.figures)),
        el("dl", { class: "figures minor" }, list(this.counters))),
      el("div", { class: "plots" }, this.depth.element, this.rates.element),
      this.messages.element,
      el("section", { class: "panel" }, el("h2", {}, t("rules")), this.rules),
    );
    this.element = el(
      "div",
      {},
      el("p", { class: "crumbs" }, el("a", { href: this.app.list }, t("queues"))),
      el("div", { class: "title" }, el("h1", {}, nameOf(this.name)), this.badges, this.dead),
      this.actions,
      this.failure,
      this.content,
    );
  }

  start() {
    this.load(true);
    this.messages.load();
    this.app.live.watch([this.name]);
  }

  close() {
    this.isClosed = true;
    this.app.cameFrom = this.name;
    clearTimeout(this.again);
    this.depth.close();
    this.rates.close();
  }

  async load(withHistory = false) {
    clearTimeout(this.again);
    try {
      const query = withHistory ? "?history=1" : "";
      const queue = await get(queuePath(this.name, query));
      this.failure.hidden = true;
      this.content.hidden = false;
      this.series.begin(queue.history);
      this.show(queue);
      this.showRules(queue.rules ?? []);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this.failed(error);
    }
    if (!this.isClosed) {
      this.again = setTimeout(() => this.reload(), AGAIN);
    }
  }

  reload() {
    if (document.hidden) {
      this.again = setTimeout(() => this.reload(), AGAIN);
    } else {
      this.load();
    }
  }

  // Take that actions are allowed, or no more.
  changed() {
    this.showActions(this.queue ?? { paused: [] }, this.content.hidden);
  }

  // Say what is the matter; a queue that is not there may come.
  failed(error) {
    if (error.status === 403) {
      this.refused(error);
      return;
    }
    if (error.status !== 404) {
      if (error.status !== 0 && error.status !== 401) {
        this.app.toast(error.message, "error");
      }
      return;
    }
    this.content.hidden = true;
    this.failure.hidden = false;
    this.badges.replaceChildren();
    this.showActions({ paused: [] }, true);
    const isPlain = /^[\w.:-]+$/.test(this.name);
    this.failure.replaceChildren(
      el("h2", {}, t("noQueue")),
      el("p", {}, t("noQueueWhy")),
      isPlain ? command(`memq push ${this.name} hello`, t("copy")) : "",
    );
  }

  // Say that it may not be seen.
  refused(error) {
    this.content.hidden = true;
    this.failure.hidden = false;
    this.badges.replaceChildren();
    this.actions.replaceChildren();
    this.failure.replaceChildren(
      el("h2", {}, t("notAllowed")),
      el("p", { class: "wrap", role: "alert" }, visible(error.message)),
    );
  }

  show(queue) {
    this.queue = queue;
    const refused = Object.values(queue.refused ?? {});
    queue.refusedSum = refused.reduce((sum, each) => sum + each, 0);
    this.showDead(queue);
    for (const [, figure, text] of this.figures) {
      setText(figure, text(queue));
    }
    for (const [, figure, key] of this.counters) {
      setText(figure, number(queue[key]));
    }
    this.badges.replaceChildren(
      ...badgesOf(queue).map(([kind, text]) => el("span", { class: `badge ${kind}` }, text)),
    );
    this.depth.update(this.series.samples);
    this.rates.update(this.series.samples);
    this.showActions(queue);
  }

  // Lead to where its dead letters are.
  showDead({ deadLetter }) {
    if (deadLetter !== this.deadLetter) {
      this.deadLetter = deadLetter;
      this.dead.replaceChildren(...(deadLetter === null ? [] : [
        t("deadLetters"), " ",
        el("a", { href: link("queue", deadLetter) }, nameOf(deadLetter)),
      ]));
    }
  }

  showActions(queue, isMissing = false) {
    if (!this.app.server) {
      return; // It is not known yet whether anything may be done.
    }
    const names = this.app.mayAct ? this.actionsOf(queue, isMissing) : null;
    const said = names ? names.join() : "off";
    if (said === this.said) {
      return;
    }
    this.said = said;
    if (names === null) {
      this.actions.replaceChildren(el("p", { class: "muted" }, t("actionsOff")));
      return;
    }
    if (!names.length) {
      const user = visible(this.app.me?.user ?? "");
      this.actions.replaceChildren(el("p", { class: "muted wrap" }, t("noRight", { user })));
      return;
    }
    this.actions.replaceChildren(...names.map((name) =>
      el(
        "button",
        {
          type: "button",
          class: name === "delete" || name === "flush" ? "danger" : null,
          "data-action": name,
          onclick: () => openAction(name, this.name, this.queue, this.app, () => {
            this.load();
            this.messages.load();
          }),
        },
        t(`action_${name}`),
      ),
    ));
  }

  // Of a queue that is not there, the server tells no rights.
  actionsOf(queue, isMissing) {
    const { me } = this.app;
    const may = queue.may ?? (me?.write.length || this.app.isAdmin ? ["write"] : []);
    return actionsOf(queue, isMissing, may.includes("write"), may.includes("manage"));
  }

  showRules(rules) {
    if (!rules.length) {
      const isFront = this.app.server?.cluster;
      const words = isFront ? t("noRulesFront") : t("noRules");
      this.rules.replaceChildren(el("p", { class: "muted" }, words));
      return;
    }
    this.rules.replaceChildren(el(
      "table",
      { class: "rules" },
      el("thead", {}, el("tr", {},
        el("th", { scope: "col" }, t("ruleKey")),
        el("th", { scope: "col" }, t("ruleValue")),
        el("th", { scope: "col" }, t("ruleFrom")))),
      el("tbody", {}, rules.map(({ key, value, from }) => el("tr", {},
        el("th", { scope: "row" }, el("code", {}, key)),
        el("td", {}, el("code", {}, this.valueOf(value))),
        el("td", { class: "muted" }, el("code", {}, from ?? "–"))))),
    ));
  }

  valueOf(value) {
    return visible(typeof value === "string" ? value : JSON.stringify(value));
  }

  tick({ queues }) {
    const mine = queues.find(({ name }) => name === this.name);
    if (!mine) {
      return;
    }
    if (this.content.hidden) {
      this.load();
    }
    this.series.add(now(), mine);
    this.show({ ...this.queue, ...mine });
  }

  key(event) {
    if (event.key === "r") {
      this.load();
      this.messages.load();
    } else if (event.key === "j" || event.key === "k") {
      scrollBy({ top: event.key === "j" ? 120 : -120 });
    } else {
      return false;
    }
    return true;
  }
}
