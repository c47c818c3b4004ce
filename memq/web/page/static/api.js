// API: requests to the server, which end within a bound, and whose errors are in the
// server's words.

import { t } from "./words.js";

const BASE = "/api/v1";
// Milliseconds that a look, and an action, may take.
const PATIENCE = { GET: 15000, POST: 60000, DELETE: 60000, PUT: 60000 };

export class ApiError extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

// Return a name as it stands in a path or a list.  "." and ".." would be taken out of
// the path, and a comma divides a list: these go as their bytes in hex.
export function encodeName(name) {
  if (name === "." || name === ".." || name.includes(",")) {
    const hex = [...new TextEncoder().encode(name)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
    return encodeURIComponent(`hex:${hex}`);
  }
  return encodeURIComponent(name);
}

export function queuePath(name, rest = "") {
  return `/queues/${encodeName(name)}${rest}`;
}

// Return a path with those parameters that are not empty.
export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined) {
      query.set(key, value);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export function url(path) {
  return BASE + path;
}

async function wordsOf(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    if (typeof error === "string") {
      return error;
    }
  } catch {
    // It is no JSON: its first line says what it is.
  }
  const line = text.split("\n", 1)[0].slice(0, 300);
  return line || `${response.status} ${response.statusText}`;
}

// Send a request; return what the reply says.  Raises ApiError; its status is 0 where
// there was no reply.
export async function ask(method, path, body, signal) {
  const limit = AbortSignal.timeout(PATIENCE[method]);
  // Browsers of before 2024 cannot have both.
  const both = signal && AbortSignal.any?.([signal, limit]);
  const options = {
    method,
    signal: both ?? signal ?? limit,
    cache: "no-store",
    credentials: "same-origin",
  };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url(path), options);
    if (response.ok) {
      const text = await response.text();
      return text ? JSON.parse(text) : {};
    }
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    const late = error.name === "TimeoutError";
    throw new ApiError(0, t(late ? "errorLate" : "errorNetwork"));
  }
  throw new ApiError(response.status, await wordsOf(response));
}

export function get(path, signal) {
  return ask("GET", path, undefined, signal);
}
