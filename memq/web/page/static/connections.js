// Connections: who is connected to the queues, and what each waits for.

import { ApiError, ask, get, withQuery } from "./api.js";
import { openDialog } from "./actions.js";
import { command, el, nameOf, setText, visible } from "./dom.js";
import { bytes, number, since } from "./format.js";
import { link } from "./router.js";
import { t } from "./words.js";

const AGAIN = 2000;
const PAGE = 100;

const COLUMNS = [
  ["peer", "columnPeer", (c) => el("bdi", {}, visible(String(c.peer)))],
  ["user", "columnUser", (c) => (c.user ? el("bdi", {}, visible(c.user)) : "–")],
  ["protocol", "columnProtocol", (c) => c.protocol ?? "–"],
  ["since", "columnSince", (c) => since(c.since)],
  ["received", "columnReceived", (c) => bytes(c.received)],
  ["sent", "columnSent", (c) => bytes(c.sent)],
  ["open", "columnOpen", (c) => number(c.open)],
  ["outstanding", "columnOutstanding", (c) => number(c.outstanding)],
  ["waits", "columnWaits", (c) => (c.waits
    ? el("a", { href: link("queue", c.waits) }, nameOf(c.waits)) : "–")],
];

export class ConnectionsView {
  constructor(app, { values }) {
    this.app = app;
    this.values = values;
    this.title = t("connections");
    this.count = el("span", { class: "muted", role: "status" });
    // Without users there is none to tell.
    this.columns = COLUMNS.filter(([key]) => key !== "user" || app.me?.user);
    this.body = el("tbody", {});
    this.table = el("table", { class: "connections" },
      el("thead", {}, el("tr", {},
        this.columns.map(([key, label]) => el("th", { scope: "col", class: key }, t(label))),
        el("th", { class: "kill" }, el("span", { class: "unseen" }, t("action_kill"))))),
      this.body);
    this.note = el("div", { class: "note", hidden: true });
    this.pager = el("nav", { class: "pager", "aria-label": t("pages") });
    this.element = el("div", {},
      el("div", { class: "tools" }, el("h1", {}, t("connections")), this.count),
      el("div", { class: "panel list" }, this.table, this.note), this.pager);
  }

  start() {
    this.app.live.watch([]);
    this.load();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.again);
  }

  async load() {
    clearTimeout(this.again);
    const { after } = this.values;
    try {
      this.show(await get(withQuery("/connections", { limit: PAGE, after })));
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (error.status !== 0) {
        this.say(t("failed"), el("p", { class: "error", role: "alert" }, error.message));
      }
    }
    if (!this.isClosed) {
      this.again = setTimeout(() => this.reload(), AGAIN);
    }
  }

  reload() {
    if (document.hidden || this.table.contains(document.activeElement)) {
      this.again = setTimeout(() => this.reload(), AGAIN);
    } else {
      this.load();
    }
  }

  say(...parts) {
    this.table.hidden = true;
    this.note.hidden = false;
    const [title, ...others] = parts;
    this.note.replaceChildren(el("h2", {}, title), ...others);
  }

  show({ connections, total, next }) {
    setText(this.count, t("countConnections", { n: number(total) }));
    if (!connections.length) {
      this.say(t("noConnections"), el("p", {}, t("noConnectionsWhy")),
        command("memq pop jobs --wait 60", t("copy")));
      this.pager.replaceChildren();
      return;
    }
    this.table.hidden = false;
    this.note.hidden = true;
    this.body.replaceChildren(...connections.map((each) => this.row(each)));
    this.pager.replaceChildren(...(next === null || next === undefined ? [] : [
      el("a", { class: "button", href: link("connections", "", { after: next }) },
        t("nextPage")),
    ]));
  }

  row(connection) {
    const cells = this.columns.map(([key, label, content]) =>
      el("td", { class: key, "data-label": t(label) }, content(connection)));
    const kill = this.app.mayAct && this.app.isAdmin && el("button",
      { type: "button", class: "danger quiet", onclick: () => this.kill(connection) },
      t("action_kill"));
    return el("tr", {}, cells, el("td", { class: "kill" }, kill));
  }

  kill({ id, peer }) {
    openDialog({
      title: [t("action_kill"), " ", visible(String(peer))],
      parts: [el("p", {}, t("killWhy"))],
      label: t("action_kill"),
      isDangerous: true,
      app: this.app,
      send: async () => {
        await ask("DELETE", `/connections/${encodeURIComponent(id)}`, {});
        this.app.toast(t("done_kill", { name: visible(String(peer)) }), "good");
        this.load();
      },
    });
  }

  tick() {}

  key(event) {
    if (event.key !== "r") {
      return false;
    }
    this.load();
    return true;
  }
}
