// Server: the figures of the whole server, its plots, its bounds, and its readiness.

import { ClusterPanel } from "./cluster.js";
import { el, setText, visible } from "./dom.js";
import { bytes, dateTime, now, number, rate, span } from "./format.js";
import { Plot } from "./plot.js";
import { Summary } from "./summary.js";
import { t } from "./words.js";

const FACTS = [
  ["factVersion", (s) => s.version],
  ["factDurability", (s) => visible(String(s.durability ?? "–"))],
  ["factStarted", (s) => dateTime(s.started)],
  ["factUptime", (s) => span(now() - s.started)],
  ["factQueues", (s) => number(s.queues)],
  ["factBytes", (s) => bytes(s.bytes)],
  ["factDelayed", (s) => number(s.delayed)],
  ["factSet", (s) => number(s.set)],
  ["factTaken", (s) => number(s.taken)],
  ["factPython", (s) => s.python],
  ["factTwisted", (s) => s.twisted],
  ["factBerkeley", (s) => s.berkeleydb],
];

// A bar that shows how much of something is taken.
class Meter {
  constructor(label) {
    this.label = label;
    this.bar = el("progress", { max: 1, "aria-label": label });
    this.text = el("span", { class: "muted" });
    this.element = el("div", { class: "meter" },
      el("p", {}, el("b", {}, label), this.text), this.bar);
  }

  // part: 0 to 1, or null where there is no bound.
  show(part, text, isBad) {
    this.bar.hidden = part === null;
    this.bar.value = part ?? 0;
    this.bar.classList.toggle("bad", isBad);
    setText(this.text, text);
  }
}

export class ServerView {
  constructor(app) {
    this.app = app;
    this.title = t("server");
    this.series = app.series;
    this.summary = new Summary(app);
    this.facts = FACTS.map(([label, text]) => [label, el("dd", {}, "–"), text]);
    this.ready = el("p", { class: "ready" });
    this.refused = el("p", { class: "muted" });
    this.memory = new Meter(t("meterMemory"));
    this.connections = new Meter(t("meterConnections"));
    this.disk = new Meter(t("meterDisk"));
    this.cluster = new ClusterPanel();
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
    this.element = this.build();
  }

  build() {
    const facts = this.facts.map(([label, figure]) =>
      el("div", {}, el("dt", {}, t(label)), figure));
    return el(
      "div",
      {},
      this.summary.element,
      el("div", { class: "plots" }, this.depth.element, this.rates.element),
      el("div", { class: "plots" },
        el("section", { class: "panel" },
          el("h2", {}, t("bounds")), this.ready, this.disk.element,
          this.memory.element, this.connections.element, this.refused),
        el("section", { class: "panel" },
          el("h2", {}, t("facts")), el("dl", { class: "facts-list" }, facts))),
      this.cluster.element,
    );
  }

  start() {
    this.app.live.watch([]);
    if (this.app.server) {
      this.show(this.app.server);
    }
  }

  close() {
    this.depth.close();
    this.rates.close();
  }

  show(server) {
    for (const [, figure, text] of this.facts) {
      setText(figure, text(server) ?? "–");
    }
    const reasons = server.ready ?? [];
    this.ready.classList.toggle("bad", reasons.length > 0);
    setText(this.ready, reasons.length
      ? t("notReady", { why: reasons.join(t("semicolon")) }) : t("isReady"));
    this.bounds(server);
    this.cluster.show(server.cluster);
    setText(this.refused, server.refused
      ? t("refused", { n: number(server.refused), why: this.whyOf(server.refusedWhy) })
      : t("noneRefused"));
    this.depth.update(this.series.samples);
    this.rates.update(this.series.samples);
  }

  whyOf(why) {
    if (why && typeof why === "object") {
      const some = Object.entries(why).filter(([, count]) => count);
      return some
        .map(([each, count]) => `${each.replaceAll("_", " ")} ${number(count)}`)
        .join(t("comma"));
    }
    return visible(String(why ?? "–"));
  }

  bounds({ disk, memory, connections, connectionsLimit }) {
    this.disk.element.hidden = !disk;
    if (disk) {
      const { free, minFree, store, full } = disk;
      const known = free !== null && free !== undefined;
      const all = known && store ? store / (store + Math.max(0, free - minFree)) : null;
      const isBad = full || (known && free <= minFree);
      this.disk.show(all, t("diskWords", {
        free: bytes(free), min: bytes(minFree), store: bytes(store),
      }), isBad);
    }
    if (memory) {
      const { held, limit } = memory;
      this.memory.show(limit ? held / limit : null,
        t("heldOf", { held: bytes(held), limit: limit ? bytes(limit) : t("noLimit") }),
        limit > 0 && held >= limit);
    }
    this.connections.show(connectionsLimit ? connections / connectionsLimit : null,
      t("heldOf", {
        held: number(connections),
        limit: connectionsLimit ? number(connectionsLimit) : t("noLimit"),
      }), connectionsLimit > 0 && connections >= connectionsLimit);
  }

  tick({ server }) {
    this.summary.tick(server);
    this.show(server);
  }

  key() {
    return false;
  }
}
