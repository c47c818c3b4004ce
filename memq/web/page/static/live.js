// Live: the server's ticks, once a second, with the queues that are in view.
//
// While the tab is hidden nothing is asked for.  A connection that ends, or says nothing
// for SILENCE, is made again, and the page says so.  Where the server has no room for
// one more viewer, its figures are asked for each POLL.

import { encodeName, get } from "./api.js";
import { Stream } from "./stream.js";

const SILENCE = 10000;
const POLL = 5000;
const FIRST_WAIT = 1000;
const LAST_WAIT = 15000;
// Letters of the longest list of names, and names at most.
const LETTERS = 12000;
const NAMES = 100;
// Milliseconds to wait for more of what comes into view.
const SETTLE = 250;

function listOf(names) {
  const parts = [];
  let letters = 0;
  for (const name of names.slice(0, NAMES)) {
    const part = encodeName(name);
    letters += part.length + 3;
    if (letters > LETTERS) {
      break;
    }
    parts.push(part);
  }
  return parts.join(",");
}

export class Live {
  // onState(state, seconds): "live", "waiting", "polling" or "paused".
  constructor(onTick, onState) {
    this.onTick = onTick;
    this.onState = onState;
    this.list = "";
    this.wait = FIRST_WAIT;
    this.failed = 0;
    document.addEventListener("visibilitychange", () => this.open());
    addEventListener("online", () => this.open());
    addEventListener("pagehide", () => this.close());
  }

  // Ask for these queues from now on.
  watch(names) {
    const list = listOf(names);
    if (list !== this.list) {
      this.list = list;
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.open(), SETTLE);
    }
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.settling);
    this.source?.close();
    this.source = null;
  }

  open() {
    this.close();
    if (document.hidden) {
      this.onState("paused");
      return;
    }
    const query = this.list ? `?queues=${this.list}` : "";
    this.source = new Stream(`/events${query}`, {
      tick: (tick) => this.ticked(tick),
      error: (problem) => this.lost(problem),
    });
    this.timer = setTimeout(() => this.lost(), SILENCE);
  }

  ticked(tick) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lost(), SILENCE);
    this.wait = FIRST_WAIT;
    this.failed = 0;
    this.onState("live");
    this.onTick(tick);
  }

  async lost(problem) {
    this.close();
    if (problem?.status === 401) {
      return; // It goes on when somebody has logged in.
    }
    const wait = this.wait;
    this.wait = Math.min(LAST_WAIT, wait * 2);
    this.failed += 1;
    if (this.failed === 1) {
      this.onState("waiting", wait / 1000);
    }
    this.timer = setTimeout(() => this.open(), wait);
    try {
      const server = await get("/server");
      this.onTick({ server, queues: [] });
      if (this.failed > 1) {
        // The server is there, and takes no more viewers.
        this.onState("polling");
        this.wait = POLL;
      }
    } catch {
      if (this.failed > 0) {
        this.onState("waiting", wait / 1000);
      }
    }
  }
}
