// Summary: the figures of the whole server, each with what became of it lately.

import { el, setText } from "./dom.js";
import { number, rate, since } from "./format.js";
import { Sparkline } from "./plot.js";
import { t } from "./words.js";

const TILES = [
  ["messages", "tileMessages", (s) => number(s.messages), true],
  ["age", "tileAge", (s) => (s.messages ? since(s.oldest) : "–"), false],
  ["in", "tileIn", (s) => rate(s.in), true],
  ["out", "tileOut", (s) => rate(s.out), true],
  ["open", "tileOpen", (s) => number(s.open), true],
  ["waiters", "tileWaiters", (s) => number(s.waiters), true],
];

export class Summary {
  constructor(app) {
    this.figures = [];
    this.series = app.series;
    const tiles = TILES.map(([key, label, text, isDrawn]) => {
      const figure = el("dd", {}, "–");
      const sparkline = isDrawn && new Sparkline([key], 160, 28);
      this.figures.push({ figure, sparkline, text, key });
      return el(
        "div",
        { class: `tile ${key}` },
        el("dt", {}, t(label)),
        figure,
        sparkline ? el("dd", { class: "trend" }, sparkline.element) : null,
      );
    });
    this.alert = el("p", { class: "alert", role: "status", hidden: true });
    const note = `${t("clusterNote")} ${t("clusterUntold")}`;
    this.note = el("p", { class: "clustered", hidden: true }, note);
    this.element = el(
      "section",
      { "aria-label": t("summary") },
      this.alert,
      el("dl", { class: "tiles" }, tiles),
      this.note,
    );
    if (app.server) {
      this.tick(app.server);
    }
  }

  tick(server) {
    for (const { figure, sparkline, text, key } of this.figures) {
      setText(figure, text(server));
      sparkline && sparkline.show(this.series.samples, key);
    }
    this.note.hidden = !server.cluster;
    const reasons = server.ready ?? [];
    this.alert.hidden = reasons.length === 0;
    setText(this.alert, t("notReady", { why: reasons.join(t("semicolon")) }));
  }
}
