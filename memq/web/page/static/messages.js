// Messages: the first ones of a queue, with their bodies where the server shows them.

import { ApiError, get, queuePath } from "./api.js";
import { el, nameOf, visible } from "./dom.js";
import { bytes, dateTime, number, since } from "./format.js";
import { t } from "./words.js";

const FIRST = 20;
const MORE = 100;
// Letters of a body that are shown before somebody asks for all.
const SHORT = 400;

function hexOf(base64) {
  const text = atob(base64);
  const parts = [];
  for (let at = 0; at < text.length; at += 1) {
    parts.push(text.charCodeAt(at).toString(16).padStart(2, "0"));
  }
  return parts.join(" ");
}

// Return a body's text with its lines and tabs, and all else that is unseen as numbers.
function bodyText(text) {
  return text.split(/(\r?\n|\t)/).map((part, i) => (i % 2 ? part : visible(part))).join("");
}

export class Messages {
  constructor(name, app) {
    this.name = name;
    this.app = app;
    this.limit = FIRST;
    this.list = el("div", { class: "messages" });
    this.refresh = el(
      "button",
      { type: "button", class: "quiet", onclick: () => this.load() },
      t("refresh"),
    );
    this.element = el(
      "section",
      { class: "panel" },
      el("header", {}, el("h2", {}, t("messages")), this.refresh),
      this.list,
    );
  }

  async load() {
    try {
      const path = queuePath(this.name, `/messages?limit=${this.limit}`);
      this.show((await get(path)).messages);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      const isGone = error.status === 404;
      this.list.replaceChildren(el(
        "p",
        isGone || error.status === 403
          ? { class: "muted wrap" } : { class: "error", role: "alert" },
        isGone ? t("noMessages") : error.message,
      ));
    }
  }

  show(messages) {
    if (!messages.length) {
      this.list.replaceChildren(el("p", { class: "muted" }, t("noMessages")));
      return;
    }
    const parts = [el("ol", {}, messages.map((each) => this.item(each)))];
    if (!messages.some((each) => "body" in each || "text" in each)) {
      parts.unshift(el("p", { class: "muted" }, t("bodiesOff")));
    }
    if (messages.length === this.limit && this.limit < MORE) {
      parts.push(el(
        "button",
        { type: "button", onclick: () => { this.limit = MORE; this.load(); } },
        t("more", { n: MORE }),
      ));
    }
    this.list.replaceChildren(...parts);
  }

  item(message) {
    const facts = [
      el("b", {}, number(message.number)),
      el("span", {}, bytes(message.bytes)),
      el("span", { title: dateTime(message.set) },
        t("setAgo", { span: since(message.set) })),
    ];
    if (message.flags) {
      facts.push(el("span", {}, t("flagsAre", { n: message.flags })));
    }
    if (message.expires) {
      facts.push(el("span", {}, t("expiresAt", { time: dateTime(message.expires) })));
    }
    if (message.returned) {
      facts.push(el("span", {}, t("returnedTimes", { n: message.returned })));
    }
    if (message.from) {
      facts.push(el("span", { class: "origin" }, t("cameFrom"), " ", nameOf(message.from)));
    }
    if (message.reason) {
      facts.push(el("span", { class: "badge nearly" }, this.reason(message.reason)));
    }
    return el("li", {}, el("p", { class: "facts" }, facts), this.body(message));
  }

  reason(reason) {
    const key = `reason_${reason}`;
    const words = t(key);
    return words === key ? visible(reason) : words;
  }

  body(message) {
    if (message.error) {
      return el("p", { class: "error" }, visible(message.error));
    }
    const isText = typeof message.text === "string";
    if (!isText && typeof message.body !== "string") {
      return null;
    }
    if (message.bytes === 0) {
      return el("p", { class: "muted" }, t("emptyBody"));
    }
    const text = isText ? bodyText(message.text) : hexOf(message.body);
    const shown = el("pre", { class: isText ? "body" : "body hex", tabindex: 0 },
      text.slice(0, SHORT));
    const parts = [shown];
    if (text.length > SHORT) {
      const button = el("button", {
        type: "button",
        class: "quiet",
        onclick: () => { shown.textContent = text; button.remove(); },
      }, t("wholeBody"));
      parts.push(button);
    }
    if (message.cut) {
      parts.push(el("p", { class: "muted" }, t("bodyCut")));
    }
    return el("div", {}, parts);
  }
}
