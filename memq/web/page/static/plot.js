// Plot: lines over time as SVG, small ones for rows and large ones with axes.

import { el, setText, svg } from "./dom.js";
import { axis, clock } from "./format.js";

const NONE = [];

// Return points of a line as the attribute "points" wants them.
function points(values, x, y) {
  const pairs = [];
  values.forEach((value, index) => {
    if (value !== null && value !== undefined) {
      pairs.push(`${x(index).toFixed(1)},${y(value).toFixed(1)}`);
    }
  });
  return pairs.join(" ");
}

// Return how many seconds are drawn: what was just started fills a plot, too.
function secondsOf(samples) {
  const end = samples.at(-1)?.t ?? 0;
  const oldest = samples[0]?.t ?? 0;
  return Math.max(Plot.LEAST, Math.min(Plot.SECONDS, end - oldest));
}

// A line or two without axes, over the last LENGTH values of each, or over the samples of
// a series.
export class Sparkline {
  static LENGTH = 60;
  static LEAST = 15;

  constructor(classes, width = 96, height = 22) {
    this.width = width;
    this.height = height;
    this.values = classes.map(() => []);
    this.lines = classes.map((each) => svg("polyline", { class: `line ${each}` }));
    this.element = svg(
      "svg",
      {
        class: "spark",
        viewBox: `0 0 ${width} ${height}`,
        width,
        height,
        "aria-hidden": "true",
        preserveAspectRatio: "none",
      },
      svg("line", {
        class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5,
      }),
      ...this.lines,
    );
  }

  add(...values) {
    values.forEach((value, index) => {
      const kept = this.values[index];
      kept.push(value);
      kept.splice(0, kept.length - Sparkline.LENGTH);
    });
    this.draw();
  }

  draw() {
    const top = Math.max(1e-9, ...this.values.flat());
    this.lines.forEach((line, index) => {
      const values = this.values[index];
      const length = Math.max(Sparkline.LEAST, values.length);
      const start = length - values.length;
      const x = (each) => ((start + each) / (length - 1)) * this.width;
      line.setAttribute("points", points(values, x, (value) => this.y(value, top)));
    });
  }

  y(value, top) {
    return this.height - 1.5 - (value / top) * (this.height - 4);
  }

  // Draw one figure of samples, which end now.
  show(samples, key) {
    const end = samples.at(-1)?.t ?? 0;
    const values = samples.map((sample) => sample[key]);
    const top = Math.max(1e-9, ...values) * 1.2;
    const seconds = secondsOf(samples);
    const x = (each) => (1 - (end - samples[each].t) / seconds) * this.width;
    this.lines[0].setAttribute("points", points(values, x, (v) => this.y(v, top)));
  }
}

// Return a round step, so that about four of them make the height.
function stepFor(most, isWhole) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((e) => e >= rough);
  return isWhole ? Math.max(1, Math.ceil(step)) : step;
}

// Seconds between two times below a plot.
const EVERY = [15, 30, 60, 120, 240];
const HEIGHT = 180;
const LEFT = 58;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;

// Lines over the last LEAST to SECONDS seconds, with axes, a legend, and the values where
// one points.
export class Plot {
  static SECONDS = 600;
  static LEAST = 60;

  // lines: [{key, label, format, style}]; samples are {t, [key]: value}.
  constructor(title, lines, isWhole = false) {
    this.lines = lines;
    this.isWhole = isWhole;
    this.samples = NONE;
    this.at = null;
    this.drawing = svg("svg", { class: "plot", role: "img", "aria-label": title });
    this.figures = lines.map(() => el("b", {}));
    this.moment = el("span", { class: "muted" });
    const legend = lines.map((line, index) =>
      el("span", { class: `key ${line.style}` }, line.label, " ", this.figures[index]),
    );
    this.element = el(
      "figure",
      { class: "panel" },
      el("figcaption", {}, el("h2", {}, title), ...legend, this.moment),
      this.drawing,
    );
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.drawing);
  }

  close() {
    this.observer.disconnect();
  }

  update(samples) {
    this.samples = samples;
    this.draw();
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    this.at = event === null ? null : event.clientX - box.left;
    this.draw();
  }

  // Return the sample that is told: that where one points, else the last.
  told(x) {
    if (this.at === null) {
      return this.samples.at(-1);
    }
    let best = this.samples.at(-1);
    for (const sample of this.samples) {
      if (Math.abs(x(sample.t) - this.at) < Math.abs(x(best.t) - this.at)) {
        best = sample;
      }
    }
    return best;
  }

  legend(sample) {
    this.lines.forEach((line, index) => {
      setText(this.figures[index], line.format(sample?.[line.key]));
    });
    setText(this.moment, sample && this.at !== null ? clock(sample.t) : "");
  }

  draw() {
    const width = this.drawing.clientWidth;
    if (!width) {
      return;
    }
    const end = this.samples.at(-1)?.t ?? 0;
    const seconds = secondsOf(this.samples);
    const begin = end - seconds;
    const shown = this.samples.filter((sample) => sample.t >= begin);
    const all = shown.flatMap((sample) => this.lines.map(({ key }) => sample[key] ?? 0));
    const most = Math.max(this.isWhole ? 4 : 1, ...all);
    const step = stepFor(most, this.isWhole);
    const top = Math.ceil(most / step) * step;
    const x = (time) => LEFT + ((time - begin) / seconds) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    const parts = [...this.grid(width, step, top, y)];
    if (end) {
      parts.push(...this.times(begin, end, width, x));
    }
    for (const line of this.lines) {
      parts.push(...this.line(line, shown, x, y));
    }
    const sample = shown.length ? this.told(x) : undefined;
    if (sample && this.at !== null) {
      const place = x(sample.t);
      parts.push(svg("line", {
        class: "cross", x1: place, x2: place, y1: TOP, y2: HEIGHT - BOTTOM,
      }));
    }
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.drawing.replaceChildren(...parts);
    this.legend(sample);
  }

  *grid(width, step, top, y) {
    for (let value = 0; value <= top + step / 2; value += step) {
      const place = Math.round(y(value)) + 0.5;
      yield svg("line", {
        class: "grid", x1: LEFT, x2: width - RIGHT, y1: place, y2: place,
      });
      yield svg(
        "text",
        { x: LEFT - 8, y: place + 4, "text-anchor": "end" },
        axis(value),
      );
    }
  }

  *times(begin, end, width, x) {
    const most = width < 480 ? 4 : 7;
    const every = EVERY.find((each) => (end - begin) / each <= most);
    for (let at = Math.ceil(begin / every) * every; at <= end; at += every) {
      const place = x(at);
      if (place > LEFT + 16 && place < width - 30) {
        yield svg(
          "text",
          { x: place, y: HEIGHT - 5, "text-anchor": "middle" },
          every < 60 ? clock(at) : clock(at).slice(0, 5),
        );
      }
    }
  }

  *line(line, shown, x, y) {
    const values = shown.map((sample) => sample[line.key]);
    const text = points(values, (index) => x(shown[index].t), y);
    // What nobody knows has no area.
    const known = shown.filter((_, index) => typeof values[index] === "number");
    if (line.isFilled && known.length > 1) {
      const first = x(known[0].t).toFixed(1);
      const last = x(known.at(-1).t).toFixed(1);
      const floor = y(0).toFixed(1);
      yield svg("polygon", {
        class: `area ${line.style}`,
        points: `${first},${floor} ${text} ${last},${floor}`,
      });
    }
    yield svg("polyline", { class: `line ${line.style}`, points: text });
  }
}

// Seconds of a sample, as the server has them, and the figures that are rates.
const STEP = 5;
const RATES = ["in", "out"];

// Samples over time: a history of the server's, and what comes since.
export class Series {
  constructor(keys) {
    this.keys = keys;
    this.samples = [];
  }

  // Put what the server kept before what is there.
  begin(history) {
    if (!history?.messages) {
      return;
    }
    const { step, until } = history;
    const count = history.messages.length;
    const first = this.samples[0]?.t ?? Infinity;
    const older = [];
    for (let index = 0; index < count; index += 1) {
      const t = until - step * (count - 1 - index);
      if (t < first) {
        const sample = { t };
        for (const key of this.keys) {
          sample[key] = history[key]?.[index] ?? null;
        }
        // Nothing was seen then where all are absent.
        if (this.keys.some((key) => sample[key] !== null)) {
          older.push(sample);
        }
      }
    }
    this.samples = [...older, ...this.samples];
  }

  add(t, figures) {
    const step = Math.floor(t / STEP);
    const last = this.samples.at(-1);
    if (last?.step === step) {
      this.join(last, t, figures);
      return;
    }
    const sample = { t, step, count: 1 };
    for (const key of this.keys) {
      sample[key] = figures[key] ?? null;
    }
    this.samples.push(sample);
    const oldest = t - Plot.SECONDS - 10;
    while (this.samples[0].t < oldest) {
      this.samples.shift();
    }
  }

  // Take figures into the last sample: rates as their mean, others as they are now.
  join(last, t, figures) {
    last.t = t;
    last.count += 1;
    for (const key of this.keys) {
      const value = figures[key] ?? null;
      if (RATES.includes(key) && value !== null && last[key] !== null) {
        last[key] += (value - last[key]) / last.count;
      } else {
        last[key] = value ?? last[key];
      }
    }
  }
}
