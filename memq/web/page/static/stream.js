// Stream: events that the server sends for as long as somebody listens.  It is read by
// fetch, for an EventSource cannot say who asks.

import { ApiError, open } from "./api.js";
import { t } from "./words.js";

export class Stream {
  // on: open(), error(problem), and for each event its name, which takes the data.
  constructor(path, on) {
    this.on = on;
    this.stopper = new AbortController();
    this.run(path);
  }

  close() {
    this.stopper.abort();
  }

  async run(path) {
    const { signal } = this.stopper;
    let problem = new ApiError(0, t("errorNetwork"));
    try {
      const response = await open("GET", path, { signal });
      this.on.open?.();
      const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let piece = await text.read(); !piece.done; piece = await text.read()) {
        const parts = (rest + piece.value).split("\n\n");
        rest = parts.pop();
        parts.forEach((part) => this.take(part));
      }
    } catch (error) {
      if (error instanceof ApiError) {
        problem = error;
      }
    }
    if (!signal.aborted) {
      this.on.error(problem);
    }
  }

  take(part) {
    const fields = {};
    for (const line of part.split("\n")) {
      const at = line.indexOf(": ");
      fields[line.slice(0, at)] = line.slice(at + 2);
    }
    if (fields.data !== undefined && !this.stopper.signal.aborted) {
      this.on[fields.event]?.(JSON.parse(fields.data));
    }
  }
}
