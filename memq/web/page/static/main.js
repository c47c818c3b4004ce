// Main: the frame of the page, and the view that the address names.

import { get } from "./api.js";
import { el, setText } from "./dom.js";
import { ConnectionsView } from "./connections.js";
import { now, setClock } from "./format.js";
import { listenToKeys, openHelp } from "./keys.js";
import { Live } from "./live.js";
import { LogView } from "./log.js";
import { Series } from "./plot.js";
import { QueueView } from "./queue.js";
import { QueuesView } from "./queues.js";
import { go, link, parse } from "./router.js";
import { ServerView } from "./server.js";
import { language, nextScheme, scheme, setLanguage } from "./settings.js";
import { locale, t } from "./words.js";

const VIEWS = {
  queues: QueuesView,
  queue: QueueView,
  server: ServerView,
  connections: ConnectionsView,
  log: LogView,
};
const TABS = ["queues", "server", "connections", "log"];
// Milliseconds that a good word stays.
const STAY = 6000;

class App {
  constructor() {
    // The last figures of the server, and those of ten minutes.
    this.server = null;
    this.series = new Series(["messages", "in", "out", "open", "waiters"]);
    this.mayAct = false;
    // Where the list was when a queue was opened, and which one that was.
    this.list = link("queues");
    this.cameFrom = null;
    this.view = null;
    this.state = ["waiting", 0];
    this.live = new Live(
      (tick) => this.ticked(tick),
      (...state) => this.told(...state),
    );
  }

  start() {
    this.build();
    addEventListener("hashchange", () => this.show());
    listenToKeys(this, () => this.view, () => this.back());
    this.show();
    this.live.open();
    // Without a history, the plots begin now.
    get("/server?history=1").then(
      ({ history }) => this.series.begin(history),
      () => {},
    );
  }

  build() {
    document.documentElement.lang = locale();
    this.tabs = new Map(TABS.map((name) => [
      name, el("a", { href: link(name) }, t(name)),
    ]));
    this.status = el("span", { class: "state", role: "status" });
    this.schemeButton = el("button", {
      type: "button", class: "quiet", id: "scheme",
      onclick: () => { nextScheme(); this.nameScheme(); },
    });
    this.nameScheme();
    const other = language() === "zh" ? "en" : "zh";
    const languageButton = el("button", {
      type: "button", class: "quiet", id: "language", lang: other,
      onclick: () => this.speak(other),
    }, other === "zh" ? "中文" : "English");
    const help = el("button", {
      type: "button", class: "quiet", id: "help", "aria-label": t("help"),
      title: t("help"), onclick: () => openHelp(this),
    }, "?");
    this.main = el("main", { id: "main", tabindex: -1 });
    this.toasts ??= el("div", { class: "toasts", "aria-live": "polite" });
    const skip = el("a", {
      href: "#main", class: "skip",
      onclick: (event) => { event.preventDefault(); this.main.focus(); },
    }, t("skip"));
    document.body.replaceChildren(
      skip,
      el("header", { class: "top" },
        el("a", { class: "brand", href: link("queues") },
          el("img", { src: "/page/icon.svg", alt: "", width: 22, height: 22 }), "memq"),
        el("nav", { "aria-label": t("views") }, [...this.tabs.values()]),
        el("div", { class: "switches" },
          this.status, languageButton, this.schemeButton, help)),
      this.main,
      this.toasts,
    );
    this.told(...this.state);
  }

  nameScheme() {
    const name = scheme();
    const sign = { auto: "◐", light: "☀", dark: "☾" }[name];
    const words = t(`scheme_${name}`);
    setText(this.schemeButton, sign);
    this.schemeButton.title = words;
    this.schemeButton.setAttribute("aria-label", words);
  }

  speak(other) {
    setLanguage(other);
    this.build();
    this.show(true);
    document.getElementById("language").focus();
  }

  // Show what the address names; the same view takes new values if it can.
  show(isNew = false) {
    const route = parse();
    const View = Object.hasOwn(VIEWS, route.view) ? VIEWS[route.view] : null;
    if (!View || (route.view === "queue" && !route.name)) {
      go(link("queues"), true);
      return;
    }
    if (route.view === "queues") {
      this.list = location.hash || link("queues");
    }
    if (!isNew && this.view instanceof View && this.view.move) {
      this.view.move(route);
      return;
    }
    this.view?.close();
    this.view = new View(this, route);
    this.main.replaceChildren(this.view.element);
    document.title = `${this.view.title} · memq`;
    const tab = route.view === "queue" ? "queues" : route.view;
    for (const [name, each] of this.tabs) {
      if (name === tab) {
        each.setAttribute("aria-current", "page");
      } else {
        each.removeAttribute("aria-current");
      }
    }
    scrollTo(0, 0);
    this.view.start();
  }

  back() {
    const { view, values } = parse();
    if (view === "queue") {
      go(this.list);
    } else if (view !== "queues" || values.match || values.after) {
      go(link("queues"));
    }
  }

  ticked(tick) {
    const { server } = tick;
    setClock(tick.at);
    const mayAct = Boolean(server.actions);
    const isNew = this.server === null || mayAct !== this.mayAct;
    this.mayAct = mayAct;
    this.server = server;
    this.series.add(now(), server);
    this.view?.tick(tick);
    if (isNew) {
      this.view?.changed?.();
    }
  }

  // Say how the page is connected.
  told(state, seconds) {
    this.state = [state, seconds];
    const words = {
      live: t("stateLive"),
      polling: t("statePolling"),
      paused: t("statePaused"),
      waiting: seconds ? t("stateWaiting", { n: seconds }) : t("stateWaiting0"),
    }[state];
    this.status.className = `state ${state}`;
    this.status.title = words;
    setText(this.status, words);
  }

  // Tell something; what went wrong stays until it is put away.
  toast(text, kind) {
    const role = kind === "error" ? "alert" : null;
    const toast = el("div", { class: `toast ${kind}`, role },
      el("span", { class: "wrap" }, text),
      el("button", {
        type: "button", class: "quiet", "aria-label": t("close"),
        onclick: () => toast.remove(),
      }, "×"));
    for (const other of this.toasts.children) {
      if (other.firstChild.textContent === text) {
        other.remove();
      }
    }
    this.toasts.append(toast);
    if (kind !== "error") {
      setTimeout(() => toast.remove(), STAY);
    }
  }
}

new App().start();
