// Charts of queries over time, drawn by uPlot.
//
//   const board = new Board(range, { interval: 15 });
//   board.add(figure, {
//     title: "Memory", unit: "bytes", stack: true,
//     query: ({ window }) => `…`,            // window: for rate(), like "60s"
//     ask: async ({ start, end, step, signal }) => …, // instead of query
//     step: 60,                              // seconds; by the width if there is none
//     shape: (rows) => [{ name, values }],   // optional; rows: [{ labels, values }]
//   });
//
// All charts of a board show one range: dragging over one zooms all, and the cursor
// stands at the same time in all. A missing sample is null and shows as a gap.
import { number, queryRange } from "./api.js";
import { format, unitName } from "./format.js";
import { follow, step as stepOf } from "./range.js";
import { at, clockAt, dayAt, exactAt, fullAt } from "./time.js";

const colours = 10; // --c1 to --c10 in chart.css
const mostSeries = 40; // drawn in one chart

// tabulate puts the samples of a matrix on the grid of its query. What is missing
// is null; so is NaN.
export function tabulate(matrix, start, end, step) {
	const length = Math.floor((end - start) / step + 1e-6) + 1;
	const x = Array.from({ length }, (_, i) => start + i * step);
	const rows = matrix.map(({ metric, values = [] }) => {
		const ys = new Array(length).fill(null);
		for (const [t, v] of values) {
			const n = number(v);
			if (Number.isFinite(n)) ys[Math.round((t - start) / step)] = n;
		}
		return { labels: metric, values: ys };
	});
	return { x, rows, step };
}

// seriesName is a series' labels as text, its name first.
export function seriesName({ __name__: name = "", ...labels }) {
	const inner = Object.entries(labels).map(([k, v]) => `${k}="${v}"`).join(", ");
	return inner ? `${name}{${inner}}` : name || "value";
}

function css(name, probe) {
	probe.style.color = `var(${name})`;
	return getComputedStyle(probe).color;
}

// faint is a colour of getComputedStyle, seen through.
const faint = (colour, alpha) => colour.replace(/^rgba?\(([^,]+),([^,]+),([^,)]+).*$/, `rgba($1,$2,$3, ${alpha})`);

function element(name, className = "", text = "") {
	const el = document.createElement(name);
	if (className) el.className = className;
	if (text) el.textContent = text;
	return el;
}

// Board is the charts of a page.
export class Board {
	#charts = [];
	#seen;

	constructor(range, { interval = 15, sync = "board" } = {}) {
		this.range = range;
		this.interval = interval;
		this.sync = sync;
		this.#seen = new IntersectionObserver((entries) => {
			for (const e of entries) {
				const chart = this.#charts.find((c) => c.figure === e.target);
				if (!chart) continue;
				chart.near = e.isIntersecting;
				if (chart.near && chart.stale) chart.load();
			}
		}, { rootMargin: "300px" });
		range.addEventListener("change", () => this.reload());
		follow(range, () => { for (const c of this.#charts) c.tail(); }, Math.min(15, Math.max(10, interval)));
		document.addEventListener("themechange", () => { for (const c of this.#charts) c.redraw(true); });
	}

	// add makes a chart in a figure. It asks for its data when it comes near the
	// screen.
	add(figure, spec) {
		const chart = new Chart(this, figure, spec);
		this.#charts.push(chart);
		this.#seen.observe(figure);
		return chart;
	}

	remove(chart) {
		this.#seen.unobserve(chart.figure);
		this.#charts = this.#charts.filter((c) => c !== chart);
		chart.destroy();
	}

	// point puts the cursor of all charts at a time, or takes it away.
	point(time) {
		for (const c of this.#charts) c.point(time);
	}

	reload() {
		for (const c of this.#charts) {
			c.stale = true;
			if (c.near) c.load();
		}
	}
}

class Chart {
	#plot; // the uPlot, once there is something to draw
	#shape = ""; // what the plot was made for
	#list = []; // [{name, values, …}] as drawn
	#data; // what was asked: {x, rows, step}
	#hidden = new Set(); // names of series switched off
	#request; // the AbortController of the request on its way

	constructor(board, figure, spec) {
		Object.assign(this, { board, figure, spec, near: false, stale: true });
		const head = figure.querySelector("figcaption") ?? figure.appendChild(element("figcaption"));
		if (!head.textContent.trim()) head.append(element("h3", "", spec.title));
		if (spec.unit) head.append(" ", element("small", "", unitName(spec.unit)));
		this.title = spec.title ?? head.querySelector("h2, h3")?.textContent ?? "Chart";
		this.when = element("output", "when");
		head.append(this.when);
		this.area = element("div", "plot");
		this.area.tabIndex = 0;
		this.area.setAttribute("role", "img");
		this.area.setAttribute("aria-label", `${this.title}: loading`);
		this.note = element("p", "note");
		this.note.setAttribute("role", "status");
		this.legend = element("ul", "legend");
		this.legend.setAttribute("aria-label", `Series of ${this.title}`);
		this.probe = element("span", "probe");
		this.spoken = element("p", "hide");
		this.spoken.setAttribute("aria-live", "polite");
		figure.append(this.area, this.note, this.legend, this.probe, this.spoken);
		this.area.addEventListener("keydown", (e) => this.#key(e));
		this.resize = new ResizeObserver(() => this.#fit());
		this.resize.observe(this.area);
	}

	destroy() {
		this.#request?.abort();
		this.resize.disconnect();
		this.#plot?.destroy();
	}

	// #grid is which points of time are asked for.
	#grid() {
		const { from, to } = this.board.range.window();
		const step = this.spec.step || stepOf(to - from, this.area.clientWidth || 600, this.board.interval);
		return { from, to, step, start: Math.ceil(from / step) * step, end: Math.floor(to / step) * step };
	}

	async #ask(start, end, step) {
		this.#request?.abort();
		const mine = this.#request = new AbortController();
		const { interval } = this.board;
		if (this.spec.ask) { // its own way to the data, as tabulate leaves it
			try {
				return await this.spec.ask({ start, end, step, signal: mine.signal });
			} finally {
				if (this.#request === mine) this.#request = undefined;
			}
		}
		// As Grafana's $__rate_interval: four samples at least, and no hole between
		// two points.
		const window = `${Math.max(4 * interval, step + interval)}s`;
		try {
			const { data, warnings } = await queryRange(this.spec.query({ window, step }), {
				// A series whose sender is gone ends soon, not after the usual five minutes.
				start, end, step, lookback: `${this.spec.lookback ?? Math.max(60, 4 * interval)}s`, signal: mine.signal,
			});
			return { ...tabulate(data.result, start, end, step), warnings };
		} finally {
			if (this.#request === mine) this.#request = undefined;
		}
	}

	// load asks for the whole range.
	async load() {
		this.stale = false;
		this.figure.ariaBusy = "true";
		const { from, to, start, end, step } = this.#grid();
		try {
			const data = end < start ? tabulate([], start, start, step) : await this.#ask(start, end, step);
			this.#data = data;
			this.view = { from, to };
			this.#say(data.warnings?.[0] ?? "");
			this.redraw();
		} catch (err) {
			if (err.name === "AbortError") return;
			this.#fail(err);
		}
		this.figure.ariaBusy = "false";
	}

	// tail asks for what came since, and lets the oldest go.
	async tail() {
		if (this.stale || this.#request) return;
		if (!this.near) {
			this.stale = true; // when it comes near
			return;
		}
		if (!this.#data) {
			this.load();
			return;
		}
		const old = this.#data;
		const { from, to, start, end, step } = this.#grid();
		const last = old.x.at(-1);
		if (step !== old.step || start > last || last - start > (end - start) * 2) {
			this.load();
			return;
		}
		try {
			// The newest points again: their samples may have come late.
			const fresh = await this.#ask(Math.max(start, last - 3 * step), Math.max(end, last), step);
			if (this.stale) return;
			this.#data = join(old, fresh, start, Math.max(end, last), step);
			this.view = { from, to };
			this.#say("");
			this.redraw();
		} catch (err) {
			if (err.name !== "AbortError") this.#fail(err);
		}
	}

	#say(text, wrong = false) {
		this.note.textContent = text;
		this.note.classList.toggle("wrong", wrong);
	}

	#fail(err) {
		this.#say(err.message, true);
		if (!this.#plot) this.area.setAttribute("aria-label", `${this.title}: ${err.message}`);
	}

	// redraw draws what there is; anew if the colours have changed.
	redraw(anew = false) {
		if (!this.#data) return;
		const { x, rows } = this.#data;
		const all = this.spec.shape ? this.spec.shape(rows, x) : rows.map((r) => ({ name: seriesName(r.labels), values: r.values }));
		const list = all.filter((s) => s.values.some((v) => v !== null)).slice(0, mostSeries);
		this.#list = list;
		this.spec.drawn?.(list);
		if (all.length > list.length && list.length === mostSeries) this.#say(`The first ${mostSeries} of ${all.length} series`);
		if (list.length === 0) {
			this.#plot?.destroy();
			this.#plot = undefined;
			this.#shape = "";
			this.legend.replaceChildren();
			this.area.dataset.empty = "No data in this range";
			this.area.setAttribute("aria-label", `${this.title}: no data in this range`);
			return;
		}
		delete this.area.dataset.empty;
		const start = performance.now();
		const data = this.#stacked(x, list);
		const shape = JSON.stringify(list.map((s) => [s.name, s.colour, s.dash]));
		if (anew || shape !== this.#shape) {
			this.#plot?.destroy();
			this.#shape = shape;
			this.#plot = new uPlot(this.#options(list, start), data, this.area);
			this.#keys(list);
		} else {
			this.started = start;
			this.#plot.setData(data);
		}
		this.#describe();
		this.#values(this.#plot.cursor.idx);
	}

	// #stacked is the data as drawn: in a stack each series stands on those before.
	#stacked(x, list) {
		if (!this.spec.stack) return [x, ...list.map((s) => s.values)];
		const sum = new Array(x.length).fill(0);
		return [x, ...list.map((s) => {
			if (this.#hidden.has(s.name) || s.line) return s.values;
			return s.values.map((v, i) => (v === null ? null : (sum[i] += v)));
		})];
	}

	#options(list, start) {
		const colour = (name) => css(name, this.probe);
		const [line, soft] = [colour("--grid"), colour("--soft")];
		const { stack, unit = "", max, min } = this.spec;
		const chart = this;
		this.started = start;
		const stacked = list.map((s, i) => ({ s, i: i + 1 })).filter(({ s }) => stack && !s.line && !this.#hidden.has(s.name));
		const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
		return {
			width: Math.max(100, this.area.clientWidth), height: this.area.clientHeight || 170,
			padding: [8, 16, 0, 0],
			legend: { show: false },
			cursor: {
				y: false,
				sync: {
					key: this.board.sync, scales: ["x", null],
					// Others follow the cursor, and have no selection of their own.
					filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
				},
				drag: { x: true, y: false, setScale: false, dist: 4 },
				points: { size: 6 },
			},
			scales: {
				x: { range: () => [this.view.from, this.view.to] },
				y: {
					range: (_, low, high) => [
						min ?? Math.min(0, low ?? 0),
						max !== undefined && !(high > max) ? max : high > 0 ? high * 1.06 : low < 0 ? 0 : 1,
					],
				},
			},
			axes: [
				{ ...axis, size: 26, space: 64, values: (_, splits, __, ___, incr) => timeTicks(splits, incr) },
				{ ...axis, size: 62, space: 30, values: (_, splits) => splits.map((v) => format(v, unit)), ...(unit.startsWith("bytes") && { incrs: binary }) },
			],
			series: [{}, ...list.map((s, i) => {
				const c = colour(`--c${colourOf(s, i)}`);
				return {
					label: s.name, stroke: c, width: stack && !s.line ? 1 : 1.5, dash: s.dash, spanGaps: false,
					show: !this.#hidden.has(s.name),
					fill: stack && !s.line ? (stacked[0]?.i === i + 1 ? faint(c, 0.55) : undefined) : list.length === 1 ? faint(c, 0.12) : undefined,
					points: { show: (u, si, from, to) => lonely(u.data[si], from, to), size: 4, filter: (u, si) => lonelyPoints(u.data[si]) },
				};
			})],
			bands: stacked.slice(1).map(({ s, i }, at) => ({
				series: [i, stacked[at].i], fill: faint(colour(`--c${colourOf(s, i - 1)}`), 0.55),
			})),
			hooks: {
				setSelect: [(u) => {
					if (u.select.width < 4) return;
					const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
					u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
					chart.board.range.set(from, to);
				}],
				setCursor: [(u) => chart.#values(u.cursor.idx)],
				draw: [() => {
					if (chart.started === undefined) return;
					performance.measure("chart-draw", {
						start: chart.started, end: performance.now(),
						detail: { title: chart.title, series: chart.#list.length, points: chart.#data.x.length },
					});
					chart.started = undefined;
				}],
			},
		};
	}

	// #keys are the legend's buttons, which switch series off and on.
	#keys(list) {
		this.legend.replaceChildren(...list.map((s, i) => {
			const b = element("button", "key");
			b.type = "button";
			b.ariaPressed = String(!this.#hidden.has(s.name));
			const name = element("span", "name", s.name);
			b.append(element("i", `c${colourOf(s, i)}`), name, element("b"));
			b.title = s.title ?? s.name;
			b.addEventListener("click", () => {
				if (!this.#hidden.delete(s.name)) this.#hidden.add(s.name);
				this.redraw(true);
				this.legend.children[i]?.firstElementChild.focus();
			});
			const li = element("li");
			li.append(b);
			return li;
		}));
	}

	// #values puts the values at the cursor into the legend, or the last ones.
	#values(idx) {
		const x = this.#plot?.data[0];
		if (!x) return;
		const there = idx !== null && idx !== undefined && idx < x.length;
		this.when.textContent = there ? at(x[idx]) : "";
		const { unit } = this.spec;
		this.#list.forEach((s, i) => {
			const value = there ? s.values[idx] : lastOf(s.values);
			const b = this.legend.children[i]?.querySelector("b");
			if (b) b.textContent = format(value, unit);
		});
	}

	// #describe tells what is drawn to those who don't see it.
	#describe() {
		const { unit } = this.spec;
		const parts = this.#list.slice(0, 10).map((s) => {
			const known = s.values.filter((v) => v !== null);
			const [low, high] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
			return `${s.name} last ${format(lastOf(s.values), unit)}, lowest ${format(low, unit)}, highest ${format(high, unit)}`;
		});
		const rest = this.#list.length - parts.length;
		const gaps = gapsOf(this.#list, this.#data.x);
		if (gaps.length > 0) parts.push(`${gaps.length === 1 ? "gap" : "gaps"}: ${gaps.slice(0, 3).map(([a, b]) => `${at(a, false)} to ${at(b, false)}`).join(", ")}`);
		const { from, to } = this.view;
		this.area.setAttribute("aria-label",
			`${this.title}, ${fullAt(from)} to ${fullAt(to)}. ${parts.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}. Arrow keys read values, plus and minus zoom.`);
	}

	#key(e) {
		const u = this.#plot;
		if (!u || e.ctrlKey || e.metaKey || e.altKey) return;
		const { range } = this.board;
		const x = u.data[0];
		const here = u.cursor.idx ?? x.length - 1;
		const go = (i) => {
			i = Math.max(0, Math.min(x.length - 1, i));
			this.board.point(x[i]);
			this.spoken.textContent = `${at(x[i])}: ${this.#list.slice(0, 10).map((s) => `${s.name} ${format(s.values[i], this.spec.unit)}`).join(", ")}`;
		};
		const jump = e.shiftKey ? 10 : 1;
		switch (e.key) {
		case "ArrowLeft": go(here - jump); break;
		case "ArrowRight": go(here + jump); break;
		case "Home": go(0); break;
		case "End": go(x.length - 1); break;
		case "+": case "=": range.zoom(0.5, u.cursor.idx === null ? undefined : x[here]); break;
		case "-": range.zoom(2); break;
		case "Escape": this.board.point(null); break;
		default: return;
		}
		e.preventDefault();
	}

	point(time) {
		const left = time === null ? -10 : this.#plot?.valToPos(time, "x");
		this.#plot?.setCursor({ left, top: left < 0 ? -10 : 0 }, true, false);
	}

	#fit() {
		const width = this.area.clientWidth;
		if (!this.#plot || !width || width === this.#plot.width) return;
		this.#plot.setSize({ width, height: this.area.clientHeight || 170 });
	}
}

// binary are round steps of bytes: 1, 2, 4 … 1024 …
const binary = Array.from({ length: 63 }, (_, i) => 2 ** i);

const colourOf = (s, i) => s.colour ?? (i % colours) + 1;

function lastOf(values) {
	for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null) return values[i];
	return null;
}

// gapsOf are the times without any sample between such with one.
function gapsOf(list, x) {
	const out = [];
	let last = -1; // the last point with a sample
	for (let i = 0; i < x.length; i++) {
		if (!list.some((s) => s.values[i] !== null && s.values[i] !== undefined)) continue;
		if (last >= 0 && i > last + 1) out.push([x[last], x[i]]);
		last = i;
	}
	return out;
}

// A sample alone between gaps is no line: it is drawn as a point.
function lonelyPoints(values) {
	const out = [];
	for (let i = 0; i < values.length; i++) {
		if (values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) out.push(i);
	}
	return out;
}
const lonely = (values, from, to) => lonelyPoints(values).some((i) => i >= from && i <= to);

// join lays fresh points over old ones, on the grid from start to end.
function join(old, fresh, start, end, step) {
	const { x } = tabulate([], start, end, step);
	const rows = new Map();
	for (const { data, over } of [{ data: old, over: false }, { data: fresh, over: true }]) {
		const shift = Math.round((data.x[0] - start) / step);
		for (const { labels, values } of data.rows) {
			const key = JSON.stringify(Object.entries(labels).sort());
			if (!rows.has(key)) rows.set(key, { labels, values: new Array(x.length).fill(null) });
			const to = rows.get(key).values;
			values.forEach((v, i) => {
				const j = i + shift;
				if (j >= 0 && j < x.length && (!over || v !== null)) to[j] = v;
			});
		}
	}
	// What ended before the start goes, or the rows of a day of changes pile up.
	return { x, step, rows: [...rows.values()].filter((r) => r.values.some((v) => v !== null)) };
}

// timeTicks are the labels of the axis: times of day, with the day where it changes.
function timeTicks(splits, incr) {
	let day = "";
	return splits.map((t) => {
		const d = dayAt(t);
		const fresh = d !== day;
		day = d;
		if (incr >= 86_400) return d;
		const time = incr < 60 ? exactAt(t) : clockAt(t);
		return fresh && (time.startsWith("00:00") || incr >= 21_600) ? d : time;
	});
}
