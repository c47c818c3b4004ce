// Format: figures as people read them.  An absent one is a dash.

import { locale, t } from "./words.js";

const NONE = "–";
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

// Seconds that the server's clock is ahead of this one.
let ahead = 0;

// Note what time it is at the server.
export function setClock(at) {
  if (typeof at === "number") {
    ahead = at - Date.now() / 1000;
  }
}

export function now() {
  return Date.now() / 1000 + ahead;
}

function fixed(value, digits) {
  return value.toLocaleString(locale(), {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function number(value) {
  return value === null || value === undefined ? NONE : fixed(value, 0);
}

// A figure beside a line of a plot.
export function axis(value) {
  return value.toLocaleString(locale(), { maximumFractionDigits: 2 });
}

// Messages a second.
export function rate(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  return fixed(value, value > 0 && value < 99.95 ? 1 : 0);
}

export function bytes(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${fixed(value, unit && value < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

// Seconds, as the largest unit, and the next where there are few.
export function span(seconds) {
  if (seconds === null || seconds === undefined) {
    return NONE;
  }
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86400), t("unitDay")],
    [Math.floor(whole / 3600) % 24, t("unitHour")],
    [Math.floor(whole / 60) % 60, t("unitMinute")],
    [whole % 60, t("unitSecond")],
  ];
  const first = Math.min(3, parts.findIndex(([count]) => count > 0) >>> 0);
  // From ten on, the smaller unit says nothing more.
  const many = parts[first][0] < 10 ? 2 : 1;
  const shown = parts.slice(first, first + many).filter(([count], i) => !i || count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

// Seconds since a time.
export function since(time) {
  return time === null || time === undefined ? NONE : span(now() - time);
}

export function clock(time) {
  return new Date(time * 1000).toLocaleTimeString(locale(), { hour12: false });
}

export function dateTime(time) {
  if (!time) {
    return NONE;
  }
  return new Date(time * 1000).toLocaleString(locale(), {
    dateStyle: "medium",
    timeStyle: "medium",
    hour12: false,
  });
}
