// Main: the frame of the page, and the view that the address names.

import { get, whenUnknown } from "./api.js";
import { el, setText, visible } from "./dom.js";
import { ConnectionsView } from "./connections.js";
import { now, setClock } from "./format.js";
import { listenToKeys, openHelp } from "./keys.js";
import { Live } from "./live.js";
import { LogView } from "./log.js";
import { LoginView, openWho } from "./login.js";
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
// Those that tell of all who use the server.
const MONITORED = ["connections", "log"];
// Milliseconds that a good word stays.
const STAY = 6000;

class App {
  constructor() {
    // The last figures of the server, and those of ten minutes.
    this.server = null;
    this.series = new Series(["messages", "in", "out", "open", "waiters"]);
    this.mayAct = false;
    // Who asks, and what that one may; null while it is not known.
    this.me = null;
    this.isMeeting = false;
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
    whenUnknown(() => this.askLogin());
    this.meet();
  }

  // Learn who asks, then show the page; whoever has to log in is asked to.
  async meet() {
    this.isMeeting = true;
    try {
      this.know(await get("/me"));
    } catch (error) {
      if (error.status === 401) {
        return;
      }
      // The view says what is the matter, and it is tried again with the first tick.
      this.know(null);
    } finally {
      this.isMeeting = false;
    }
    this.show(true);
    this.live.open();
    // Without a history, the plots begin now.
    get("/server?history=1").then(
      ({ history }) => this.series.begin(history),
      () => {},
    );
  }

  know(me) {
    this.me = me;
    const isMonitor = !me || me.user === null || me.role !== null;
    for (const name of MONITORED) {
      this.tabs.get(name).hidden = !isMonitor;
    }
    const name = me?.user ?? "";
    this.who.hidden = !name;
    setText(this.who, visible(name));
    this.who.title = t("whoAmI", { name: visible(name) });
    this.who.setAttribute("aria-label", this.who.title);
  }

  get isAdmin() {
    return this.me?.role === "admin";
  }

  // Ask who somebody is, instead of what was shown.
  askLogin(canCancel = false) {
    if (this.view instanceof LoginView && !canCancel) {
      return;
    }
    this.live.close();
    if (!canCancel) {
      this.know(null);
      this.server = null;
    }
    const cancel = canCancel ? () => this.loggedIn() : null;
    this.put(new LoginView(this, { cancel }));
    this.told("unknown");
  }

  loggedIn() {
    this.view = null;
    this.meet();
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
    this.who = el("button", {
      type: "button", class: "quiet who", id: "who", hidden: true,
      onclick: () => openWho(this),
    });
    const help = el("button", {
      type: "button", class: "quiet", id: "help", "aria-label": t("help"),
      title: t("help"), onclick: () => openHelp(this),
    }, "?");
    this.nav = el("nav", { "aria-label": t("views") }, [...this.tabs.values()]);
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
        this.nav,
        el("div", { class: "switches" },
          this.status, this.who, languageButton, this.schemeButton, help)),
      this.main,
      this.toasts,
    );
    this.told(...this.state);
    this.know(this.me);
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
    if (this.view instanceof LoginView) {
      this.put(new LoginView(this));
    } else {
      this.show(true);
    }
    document.getElementById("language").focus();
  }

  // Show what the address names; the same view takes new values if it can.
  show(isNew = false) {
    if (this.view instanceof LoginView) {
      return;
    }
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
    this.put(new View(this, route), route.view === "queue" ? "queues" : route.view);
  }

  // Show a view; tab: the one that it belongs to.
  put(view, tab = null) {
    this.view?.close();
    this.view = view;
    this.nav.hidden = view instanceof LoginView;
    this.main.replaceChildren(view.element);
    document.title = `${view.title} · memq`;
    for (const [name, each] of this.tabs) {
      if (name === tab) {
        each.setAttribute("aria-current", "page");
      } else {
        each.removeAttribute("aria-current");
      }
    }
    scrollTo(0, 0);
    view.start();
  }

  back() {
    const { view, values } = parse();
    if (this.view instanceof LoginView) {
      return;
    }
    if (view === "queue") {
      go(this.list);
    } else if (view !== "queues" || values.match || values.after) {
      go(link("queues"));
    }
  }

  ticked(tick) {
    const { server } = tick;
    setClock(tick.at);
    if (this.me === null && !this.isMeeting) {
      this.meet();
      return;
    }
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
      unknown: t("stateUnknown"),
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
