// API: requests to the server, which end within a bound, and whose errors are in the
// server's words.

import { headersOf } from "./session.js";
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

let unknown = () => {};

// Call this when the server does not know who asks.
export function whenUnknown(call) {
  unknown = call;
}

// Send a request; return the response, which is a success.  Raises ApiError; its status
// is 0 where there was no reply.  Authorization: what says who asks, instead of the
// session.
export async function open(method, path, { body, signal, authorization }) {
  const options = {
    method,
    signal,
    cache: "no-store",
    credentials: "same-origin",
    headers: headersOf(authorization),
  };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(BASE + path, options);
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new ApiError(0, t(late ? "errorLate" : "errorNetwork"));
  }
  if (response.ok) {
    return response;
  }
  if (response.status === 401 && authorization === undefined) {
    unknown();
  }
  throw new ApiError(response.status, await wordsOf(response));
}

// Send a request; return what the reply says.
export async function ask(method, path, body, signal, authorization) {
  const limit = AbortSignal.timeout(PATIENCE[method]);
  // Browsers of before 2024 cannot have both.
  const both = signal && AbortSignal.any?.([signal, limit]);
  const asked = { body, authorization, signal: both ?? signal ?? limit };
  try {
    const response = await open(method, path, asked);
    const text = await response.text();
    return text ? JSON.parse(text) : {};
  } catch (error) {
    if (error instanceof ApiError && !signal?.aborted) {
      throw error;
    }
    if (signal?.aborted) {
      throw signal.reason;
    }
    throw new ApiError(0, t(error.name === "TimeoutError" ? "errorLate" : "errorNetwork"));
  }
}

export function get(path, signal) {
  return ask("GET", path, undefined, signal);
}
