// Actions: what can be done to a queue, each asked for in a dialog.

import { ApiError, ask, queuePath } from "./api.js";
import { el, nameOf, setText, visible } from "./dom.js";
import { number } from "./format.js";
import { t } from "./words.js";

// Return the names of the actions that make sense now, for somebody who may write to the
// queue, and manage it, or not.
export function actionsOf(queue, isMissing, mayWrite, mayManage) {
  const push = mayWrite ? ["push"] : [];
  if (isMissing || !mayManage) {
    return push;
  }
  const paused = queue.paused ?? [];
  return [
    ...push,
    ...(paused.length < 2 ? ["pause"] : []),
    ...(paused.length ? ["resume"] : []),
    "move",
    "redrive",
    "flush",
    "delete",
  ];
}

function field(label, input, hint) {
  return el("label", {}, el("span", {}, label), input,
    hint ? el("small", { class: "muted" }, hint) : null);
}

function count(name, hint) {
  return el("input", {
    name,
    type: "number",
    min: name === "max" ? 1 : 0,
    step: 1,
    inputmode: "numeric",
    placeholder: hint,
  });
}

function check(name, label, isPaused) {
  return el("label", { class: "check" },
    el("input", {
      type: "checkbox", name, checked: true, disabled: isPaused,
    }), label);
}

// Return the number that was typed; nothing where nothing was.
function typed(form, name) {
  const text = form.elements[name].value.trim();
  return text === "" ? undefined : Number(text);
}

function confirmation(name) {
  return [
    field(t("typeName"), el("input", {
      name: "confirm", autocomplete: "off", spellcheck: "false", autocapitalize: "off",
      required: true,
    })),
    el("p", {}, el("code", { class: "wrap" }, visible(name))),
  ];
}

function confirmed(form, name) {
  const text = form.elements.confirm.value;
  if (text !== name && text !== visible(name)) {
    throw new ApiError(0, t("wrongName"));
  }
  return { confirm: name };
}

// Each action: fields(name, queue) makes its form, send(form, name) returns method, the
// rest of the path, and the body.
const ACTIONS = {
  push: {
    fields: () => [
      field(t("fieldBody"), el("textarea", { name: "text", rows: 5 })),
      el("div", { class: "fields" },
        field(t("fieldFlags"), count("flags", "0")),
        field(t("fieldDelay"), count("delay", "0")),
        field(t("fieldExpires"), count("expires", t("never")))),
    ],
    send: (form) => ["POST", "/messages", {
      text: form.elements.text.value,
      flags: typed(form, "flags"),
      delay: typed(form, "delay"),
      expires: typed(form, "expires"),
    }],
  },
  pause: {
    fields: (name, { paused = [] }) => [
      el("p", {}, t("pauseWhy")),
      check("reads", t("pauseReads"), paused.includes("reads")),
      check("writes", t("pauseWrites"), paused.includes("writes")),
    ],
    send: (form) => ["POST", "/pause", {
      reads: form.elements.reads.checked,
      writes: form.elements.writes.checked,
    }],
  },
  resume: {
    fields: () => [el("p", {}, t("resumeWhy"))],
    send: () => ["POST", "/resume", {}],
  },
  move: {
    fields: () => [
      field(t("fieldTo"), el("input", {
        name: "to", required: true, autocomplete: "off", spellcheck: "false",
        autocapitalize: "off", maxlength: 512,
      })),
      field(t("fieldMax"), count("max", t("all")), t("moveHint")),
    ],
    send: (form) => ["POST", "/move", {
      to: form.elements.to.value, max: typed(form, "max"),
    }],
  },
  redrive: {
    fields: () => [
      el("p", {}, t("redriveWhy")),
      field(t("fieldMax"), count("max", t("all"))),
    ],
    send: (form) => ["POST", "/redrive", { max: typed(form, "max") }],
  },
  flush: {
    isDangerous: true,
    fields: (name, { messages }) => [
      el("p", {}, t("flushWhy", { n: number(messages) })),
      ...confirmation(name),
    ],
    send: (form, name) => ["POST", "/flush", confirmed(form, name)],
  },
  delete: {
    isDangerous: true,
    fields: (name, { messages }) => [
      el("p", {}, t("deleteWhy", { n: number(messages) })),
      ...confirmation(name),
    ],
    send: (form, name) => ["DELETE", "", confirmed(form, name)],
  },
};

// Ask for an action, do it, and tell what became of it.
export function openAction(action, name, queue, app, done) {
  const { fields, send, isDangerous } = ACTIONS[action];
  const parts = fields(name, queue ?? {});
  openDialog({
    title: [t(`action_${action}`), " ", nameOf(name)],
    parts,
    label: t(`action_${action}`),
    isDangerous,
    app,
    send: async (form) => {
      const [method, rest, body] = send(form, name);
      const reply = await ask(method, queuePath(name, rest), body);
      const words = t(`done_${action}`, { name: visible(name), n: countOf(reply) });
      // Some may have stayed, for a reason that the server tells.
      const { stays } = reply;
      app.toast(stays ? `${words}. ${t("stays", { why: stays })}` : words,
        stays ? "error" : "good");
      done();
    },
  });
}

// Return how many messages a reply tells of.
function countOf(reply) {
  const found = Object.values(reply).find((each) => typeof each === "number");
  return found === undefined ? "" : number(found);
}

// Open a dialog with a form; isTold: there is nothing to do but to close it.  What it
// sends may fail: the words stay in the dialog, or, if that is closed by then, on the
// page.
export function openDialog({ title, parts, label, isDangerous, isTold, app, send }) {
  const error = el("p", { class: "error wrap", role: "alert", hidden: true });
  const submit = el("button", { class: isDangerous ? "danger solid" : "solid" }, label);
  const cancel = el(
    "button", { type: "button", onclick: () => dialog.close() }, t("cancel"),
  );
  const form = el("form", { method: "dialog" },
    el("h2", {}, title), parts, error,
    el("div", { class: "buttons" }, isTold ? null : cancel, submit));
  const dialog = el("dialog", { "aria-label": label }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    error.hidden = true;
    try {
      await send(form);
      dialog.close();
    } catch (problem) {
      const words = problem instanceof ApiError ? problem.message : String(problem);
      setText(error, words);
      error.hidden = false;
      if (!dialog.open) {
        app.toast(`${label}: ${words}`, "error");
      }
    }
    submit.disabled = false;
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector("input, textarea, .solid")?.focus();
  return dialog;
}
