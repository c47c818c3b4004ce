// Login: asks who somebody is, and tells who it is by now.

import { ApiError, ask } from "./api.js";
import { openDialog } from "./actions.js";
import { el, nameOf, setText, visible } from "./dom.js";
import { authorizationOf, hasSession, keepSession } from "./session.js";
import { t } from "./words.js";

// The server has its own: half a second, and no more than so many at a time.
async function login(user, secret) {
  try {
    const said = authorizationOf(user, secret);
    keepSession((await ask("POST", "/login", {}, undefined, said)).token);
  } catch (error) {
    if (error.status === 401) {
      throw new ApiError(401, t("wrongLogin"));
    }
    throw error;
  }
}

export async function logout() {
  try {
    await ask("DELETE", "/login", {});
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
  }
  keepSession(null);
}

// The view that is shown to somebody who is not known.
export class LoginView {
  constructor(app, { cancel = null } = {}) {
    this.app = app;
    this.title = t("login");
    this.error = el("p", { class: "error wrap", role: "alert", hidden: true });
    this.user = el("input", {
      name: "user", autocomplete: "username", spellcheck: "false",
      autocapitalize: "off", maxlength: 64,
    });
    this.secret = el("input", {
      name: "secret", type: "password", autocomplete: "current-password", required: true,
      maxlength: 1024,
    });
    this.submit = el("button", { class: "solid" }, t("login"));
    this.element = el("div", {}, el("form", {
      class: "panel login", onsubmit: (event) => this.send(event),
    },
    el("h1", {}, t("login")),
    el("p", { class: "muted" }, t("loginWhy")),
    el("label", {}, el("span", {}, t("fieldUser")), this.user,
      el("small", { class: "muted" }, t("userHint"))),
    el("label", {}, el("span", {}, t("fieldSecret")), this.secret),
    this.error,
    el("div", { class: "buttons" },
      cancel && el("button", { type: "button", onclick: cancel }, t("cancel")),
      this.submit)));
  }

  async send(event) {
    event.preventDefault();
    this.submit.disabled = true;
    this.error.hidden = true;
    try {
      await login(this.user.value, this.secret.value);
    } catch (problem) {
      if (!(problem instanceof ApiError)) {
        throw problem;
      }
      setText(this.error, problem.message);
      this.error.hidden = false;
      this.secret.select();
      return;
    } finally {
      this.submit.disabled = false;
    }
    this.app.loggedIn();
  }

  start() {
    this.user.focus();
  }

  close() {}

  tick() {}

  key() {
    return false;
  }
}

function patternsOf(me) {
  const rights = ["write", "read", "manage"].filter((right) => me[right].length);
  if (me.role === "admin" || !rights.length) {
    return null;
  }
  return el("dl", { class: "rights" }, rights.map((right) => el("div", {},
    el("dt", {}, t(`right_${right}`)),
    el("dd", {}, me[right].flatMap((each) => [el("code", {}, visible(each)), " "])))));
}

// Tell who somebody is; offer to be somebody else.
export function openWho(app) {
  const { me } = app;
  const dialog = openDialog({
    title: [t("youAre"), " ", nameOf(me.user)],
    parts: [
      el("p", {}, t(`role_${me.role ?? "none"}`)),
      patternsOf(me),
      el("div", { class: "buttons" },
        el("button", {
          type: "button", id: "another",
          onclick: () => { dialog.close(); app.askLogin(true); },
        }, t("loginOther")),
        // Who is known by a certificate can be somebody else, but not nobody.
        hasSession() && el("button", {
          type: "button", id: "logout",
          onclick: async () => { dialog.close(); await logout(); app.meet(); },
        }, t("logout"))),
    ].filter((part) => part !== null),
    label: t("close"),
    isTold: true,
    app,
    send: async () => {},
  });
}
