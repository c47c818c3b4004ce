// Cluster: what a front end knows of the servers that keep the queues.

import { el, setText, visible } from "./dom.js";
import { number, since } from "./format.js";
import { t } from "./words.js";

function linksOf(connections) {
  const sum = (key) => connections.reduce((all, each) => all + each[key], 0);
  const up = sum("connected");
  return t("linksWords", {
    up: number(up), all: number(up + sum("missing")), lost: number(sum("lost")),
  });
}

// Return the reasons that have happened, each with how often.
function failedOf(counts) {
  const some = Object.entries(counts).filter(([, count]) => count);
  return some.length
    ? some.map(([why, count]) => `${visible(why)} ${number(count)}`).join(t("comma"))
    : number(0);
}

const FACTS = [
  ["factNodes", (c) => (c.nodes === null ? "–" : t("nodesWords", {
    running: number(c.running), nodes: number(c.nodes),
  }))],
  ["factRabbit", (c) => c.version],
  ["factAt", (c) => c.at.map(visible).join(t("comma")) || "–"],
  ["factLinks", (c) => linksOf(c.connections)],
  ["factBlocked", (c) => t(c.blocked ? "yes" : "no")],
  ["factUnconfirmed", (c) => number(c.unconfirmed)],
  ["factSetsFailed", (c) => failedOf(c.setsFailed)],
  ["factGetsFailed", (c) => number(c.getsFailed)],
  ["factSilent", (c) => number(c.silent)],
  ["factTold", (c) => since(c.toldAt)],
];

export class ClusterPanel {
  constructor() {
    this.facts = FACTS.map(([label, text]) => [label, el("dd", {}, "–"), text]);
    const facts = this.facts.map(([label, figure]) =>
      el("div", {}, el("dt", {}, t(label)), figure));
    this.element = el("section", { class: "panel cluster", hidden: true },
      el("h2", {}, t("cluster")), el("dl", { class: "facts-list" }, facts));
  }

  // cluster: null where the server keeps the queues itself.
  show(cluster) {
    this.element.hidden = !cluster;
    for (const [, figure, text] of cluster ? this.facts : []) {
      setText(figure, text(cluster) ?? "–");
    }
  }
}
