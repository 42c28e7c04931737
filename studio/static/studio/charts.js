// Training curves: every chart on one axis of steps (or time), smoothing, log scale, legends one can click, numbers behind.
import uPlot from "/static/npm/uplot/uPlot.esm.js";

const PAUSE = 2000; // ms between two looks at a run that is still going
const REFETCH = 4000; // points appended before the whole is asked for again, thinned
const HEIGHT = 190;
const RUN_COLORS = ["--run1", "--run2", "--run3", "--run4", "--run5", "--run6", "--run7", "--run8"];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const held = (name) => name.startsWith("eval_");
const family = (name) => name.replace(/^eval_/, "");
const words = (name) => name.replaceAll("_", " ");

// Under its chart's title a series needs little: "train", "held-out", "chosen, held-out".
function brief(name, all) {
  const alone = all.every((other) => family(other) === family(name));
  const what = alone ? "" : words(family(name).split("/").at(-1));
  return [what, held(name) ? "held-out" : alone ? "train" : ""].filter(Boolean).join(", ");
}

export function compact(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return `${+(value / 1e9).toPrecision(3)} G`;
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)} k`;
  return size !== 0 && size < 1e-3 ? value.toExponential(1) : String(+value.toPrecision(4));
}

function seconds(value) {
  if (value < 60) return `${Math.round(value)} s`;
  return value < 3600 ? `${+(value / 60).toPrecision(3)} min` : `${+(value / 3600).toPrecision(3)} h`;
}

// Exponential mean, corrected for its start (as Adam corrects its moments), so that it begins where the data begins.
export function smoothed(values, weight) {
  let mean = 0, seen = 0;
  return values.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    seen = weight * seen + (1 - weight);
    return mean / seen;
  });
}

class Run {
  constructor({ name, url, live }, color) {
    Object.assign(this, { name, url, live, color, series: {}, panels: [], line: -1, appended: 0, shown: true });
  }

  // Ask for what is new; true when something came.
  async load() {
    const whole = this.line < 0 || this.appended > REFETCH;
    const answer = await fetch(whole ? this.url : `${this.url}?since=${this.line}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the curves of ${this.name} did not come: ${answer.status}`);
    const { series, panels, line, behind, ended } = await answer.json();
    const strange = Object.keys(series).some((name) => !(name in this.series));
    if (whole) Object.assign(this, { series, panels, appended: 0 });
    else for (const [name, more] of Object.entries(series)) this.append(name, more);
    const came = line !== this.line || whole;
    this.line = behind && whole ? -1 : strange && !whole ? -1 : line; // asked for whole again: panels may be new
    this.live = !ended || this.line < 0;
    return came;
  }

  // A resumed run repeats steps: what came before from there on is replaced.
  append(name, more) {
    const have = (this.series[name] ??= { steps: [], times: [], values: [] });
    while (have.steps.length && have.steps.at(-1) >= more.steps[0]) for (const column of Object.values(have)) column.pop();
    for (const column of ["steps", "times", "values"]) have[column].push(...more[column]);
    this.appended += more.steps.length;
  }

  along(name, axis) {
    const { steps, times } = this.series[name];
    return axis === "step" ? steps : times.map((time) => time - this.began);
  }

  get began() {
    return Math.min(...Object.values(this.series).map(({ times }) => times[0] ?? Infinity));
  }
}

// What one line on a chart is: whose, which series, how it looks.
function traces(panel, runs, alone) {
  return runs.flatMap((run) => panel.series.filter((name) => run.series[name]?.steps.length).map((name) => ({
    run, name, dash: held(name),
    label: alone ? brief(name, panel.series) : run.name,
    color: alone ? hue(name, panel.series) : run.color,
  })));
}

function hue(name, all) {
  if (name.includes("chosen")) return "--good";
  if (name.includes("rejected")) return "--bad";
  const families = [...new Set(all.map(family))];
  return ["--accent", "--run3", "--run4", "--run5"][families.indexOf(family(name)) % 4];
}

class Chart {
  constructor(board, panel) {
    Object.assign(this, { board, panel, hidden: new Set() });
    this.box = document.createElement("figure");
    this.box.className = "chart";
    this.box.append(this.caption(), (this.plotBox = Object.assign(document.createElement("div"), { className: "plot" })));
    this.legend = Object.assign(document.createElement("div"), { className: "legend" });
    this.box.append(this.legend, this.table());
    new ResizeObserver(() => this.plot?.setSize({ width: this.plotBox.clientWidth, height: HEIGHT })).observe(this.plotBox);
  }

  caption() {
    const caption = document.createElement("figcaption");
    const unit = Object.assign(document.createElement("span"), { className: "unit", textContent: this.panel.unit });
    caption.append(Object.assign(document.createElement("span"), { textContent: this.panel.verbatim ? this.panel.title : words(this.panel.title) }), unit);
    return caption;
  }

  table() {
    const details = document.createElement("details");
    details.append(Object.assign(document.createElement("summary"), { textContent: "Numbers" }));
    details.addEventListener("toggle", () => this.fillTable(details));
    return (this.details = details);
  }

  draw() {
    this.traces = traces(this.panel, this.board.runs, this.board.alone);
    const shape = this.traces.map(({ run, name }) => `${run.url} ${name}`).join() + this.board.state;
    const data = this.data();
    if (shape === this.shape && this.plot) {
      this.plot.setData(data, this.board.whole);
    } else {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), data, this.plotBox);
      this.shape = shape;
      this.drawLegend();
    }
    this.values(null);
    if (this.details.open) this.fillTable(this.details);
  }

  // [x, raw…, smooth…]: raw lines stand faint behind the smooth ones.
  data() {
    const { axis, smoothing } = this.board;
    const raw = this.traces.map(({ run, name }) => [run.along(name, axis), run.series[name].values]);
    const smooth = this.traces.map(({ run, name, dash }) => [run.along(name, axis), smoothing && !dash ? smoothed(run.series[name].values, smoothing) : run.series[name].values]);
    return uPlot.join([...raw, ...smooth]);
  }

  options() {
    const { axis, log, smoothing } = this.board;
    const positive = this.traces.every(({ run, name }) => run.series[name].values.every((value) => value > 0));
    const line = (trace, faint) => ({
      stroke: () => css(trace.color), alpha: faint ? 0.25 : 1, width: faint ? 1 : 1.6, spanGaps: true,
      show: !this.off(trace) && (!faint || (smoothing > 0 && !trace.dash)), dash: trace.dash ? [5, 4] : undefined,
      points: { show: trace.dash && !faint && trace.run.series[trace.name].steps.length < 60, size: 5, fill: () => css(trace.color) },
    });
    const ink = { stroke: () => css("--n7"), font: "11px system-ui, sans-serif", grid: { stroke: () => css("--n3"), width: 1 }, ticks: { stroke: () => css("--n4"), width: 1, size: 4 } };
    return {
      width: this.plotBox.clientWidth || 400, height: HEIGHT, legend: { show: false },
      cursor: { sync: { key: "curves", scales: ["x", null] }, points: { size: 6 }, y: false, drag: { x: true, y: false, setScale: true } },
      scales: { x: { time: false }, y: { distr: log && positive ? 3 : 1 } },
      series: [{}, ...this.traces.map((trace) => line(trace, true)), ...this.traces.map((trace) => line(trace, false))],
      axes: [
        { ...ink, size: 28, values: (_, ticks) => ticks.map((tick) => (axis === "step" ? compact(tick) : seconds(tick))), incrs: axis === "step" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] : undefined },
        { ...ink, size: 54, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : compact(tick))) },
      ],
      hooks: { setCursor: [(plot) => this.values(plot.cursor.idx)] },
    };
  }

  off(trace) {
    return !trace.run.shown || this.hidden.has(trace.name);
  }

  drawLegend() {
    if (!this.board.alone) return this.legend.replaceChildren();
    this.legend.replaceChildren(...this.traces.map((trace) => legendButton(trace, !this.off(trace), () => {
      this.hidden.has(trace.name) ? this.hidden.delete(trace.name) : this.hidden.add(trace.name);
      this.shape = null;
      this.draw();
    })));
  }

  // Behind each name the value under the cursor, else the last one.
  values(at) {
    if (!this.plot || !this.board.alone) return;
    this.traces.forEach(({ run, name }, i) => {
      const value = at == null ? run.series[name].values.at(-1) : nearest(this.plot.data[1 + i], at);
      const place = this.legend.children[i]?.querySelector(".num");
      if (place) place.textContent = compact(value);
    });
  }

  fillTable(details) {
    details.querySelector(".table")?.remove();
    if (!details.open) return;
    const [x, ...columns] = uPlot.join(this.traces.map(({ run, name }) => [run.along(name, "step"), run.series[name].values]));
    const every = Math.ceil(x.length / 200);
    const head = ["step", ...this.traces.map(({ label, name }) => (this.board.alone ? label : `${label} · ${held(name) ? "held-out" : "train"}`))];
    const rows = [...x.keys()].filter((i) => i % every === 0 || i === x.length - 1).map((i) => [x[i], ...columns.map((column) => compact(column[i]))]);
    const table = document.createElement("table");
    const row = (cells, tag) => { const tr = document.createElement("tr"); tr.append(...cells.map((text) => Object.assign(document.createElement(tag), { textContent: text, className: "num" }))); return tr; };
    table.createTHead().append(row(head, "th"));
    table.createTBody().append(...rows.map((cells) => row(cells, "td")));
    const box = Object.assign(document.createElement("div"), { className: "table" });
    box.append(table);
    details.append(box);
  }
}

function nearest(column, at) {
  for (let away = 0; away < 200; away++) {
    const value = column[at - away] ?? column[at + away];
    if (value != null) return value;
  }
  return null;
}

function legendButton({ color, dash, label, name: series = "" }, pressed, toggle) {
  const button = Object.assign(document.createElement("button"), { type: "button", title: series });
  button.setAttribute("aria-pressed", pressed);
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  swatch.setAttribute("viewBox", "0 0 18 8");
  swatch.innerHTML = `<line x1="1" y1="4" x2="17" y2="4"${dash ? ' stroke-dasharray="4 3"' : ""}/>`;
  swatch.classList.add("swatch", color.slice(2));
  const name = Object.assign(document.createElement("span"), { textContent: label });
  button.append(swatch, name, Object.assign(document.createElement("span"), { className: "num" }));
  button.addEventListener("click", toggle);
  return button;
}

class Board {
  constructor(root) {
    this.root = root;
    const told = JSON.parse(document.getElementById(root.dataset.curves).textContent);
    this.runs = told.map((run, i) => new Run(run, RUN_COLORS[i % RUN_COLORS.length]));
    this.alone = told.length === 1 && !("overlay" in root.dataset);
    this.charts = new Map();
    this.bar = root.querySelector(".curves-bar");
    this.bar.addEventListener("input", () => this.settle());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.settle();
    if (!this.alone) this.drawRunsLegend();
    this.follow();
  }

  settle() {
    const field = (name) => this.bar.querySelector(`[name=${name}]`);
    this.smoothing = Number(field("smoothing").value);
    this.log = field("log").checked;
    this.axis = field("axis").value;
    this.bar.querySelector("output").textContent = this.smoothing || "off";
    this.redraw();
  }

  get state() { return `${this.axis} ${this.log} ${this.smoothing > 0} ${this.runs.map((run) => run.shown)}`; }

  // Not zoomed in: new points may move the axis.
  get whole() {
    const first = [...this.charts.values()].find((chart) => chart.plot)?.plot;
    if (!first) return true;
    const { min, max } = first.scales.x, x = first.data[0];
    return min <= x[0] && max >= x.at(-1);
  }

  redraw() {
    for (const chart of this.charts.values()) { chart.shape = null; }
    this.draw();
  }

  draw() {
    for (const panel of this.panels()) {
      if (!this.charts.has(panel.title)) this.charts.set(panel.title, new Chart(this, panel));
      const chart = this.charts.get(panel.title);
      chart.panel = panel;
      this.root.querySelector(panel.more ? ".more-charts .charts" : ".charts").append(chart.box);
      chart.draw();
    }
    this.root.querySelector(".more-charts").hidden = !this.root.querySelector(".more-charts figure");
    this.root.querySelector(".waiting").hidden = this.charts.size > 0;
    this.bar.hidden = this.charts.size === 0;
  }

  // One run: related series share a chart. Several: one chart a metric, a colour a run.
  panels() {
    const found = new Map();
    for (const run of this.runs) for (const panel of run.panels) {
      const groups = this.alone ? [panel] : split(panel);
      for (const group of groups) found.set(group.title, { ...group, series: [...new Set([...(found.get(group.title)?.series ?? []), ...group.series])] });
    }
    return [...found.values()];
  }

  drawRunsLegend() {
    const legend = this.root.querySelector(".runs-legend");
    legend.hidden = false;
    legend.replaceChildren(...this.runs.map((run) => legendButton({ color: run.color, label: run.name }, run.shown, () => {
      run.shown = !run.shown;
      this.drawRunsLegend();
      this.redraw();
    })));
  }

  // Held-out rewards seen so far: what else on the page shows them listens for more.
  get evaluations() { return this.runs.reduce((sum, run) => sum + (run.series.eval_reward?.steps.length ?? 0), 0); }

  async follow() {
    let wait = PAUSE;
    try {
      const going = this.runs.filter((run) => run.live || run.line < 0);
      const before = this.evaluations;
      if (!document.hidden && (await Promise.all(going.map((run) => run.load()))).some(Boolean)) this.draw();
      if (this.evaluations !== before) this.root.dispatchEvent(new Event("evaluated", { bubbles: true }));
      if (this.runs.some((run) => run.line < 0 && run.live && run.panels.length)) wait = 0;
    } catch (error) {
      wait = 5 * PAUSE; // the studio may be restarting
      console.warn(error);
    }
    if (this.runs.some((run) => run.live)) setTimeout(() => this.follow(), wait);
  }
}

function split(panel) {
  const names = panel.series.filter((name) => !held(name) || !panel.series.includes(name.slice(5)));
  return names.map((name) => ({
    title: names.length === 1 ? panel.title : `${panel.title} · ${words(name)}`, unit: panel.unit,
    more: panel.more, series: [name, `eval_${name}`],
  }));
}

for (const root of document.querySelectorAll("[data-curves]")) new Board(root);
