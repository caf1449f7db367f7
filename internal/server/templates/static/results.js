// What a query came to, as a table, and as CSV. Names and values are data: they
// become text, never HTML.
import { metricURL } from "./api.js";
import { seriesName } from "./chart.js";
import { exactAt } from "./time.js";

const rowsAtOnce = 500;
const mostColumns = 12; // labels; more of them stand in one cell
const mostSamples = 20; // of one series in a cell

export function element(name, props = {}, ...children) {
	const el = Object.assign(document.createElement(name), props);
	el.append(...children);
	return el;
}

function histogramText({ count, sum, buckets = [] }) {
	return `count ${count}, sum ${sum}, ${buckets.length} buckets`;
}

function valueText(item) {
	if (item.value) return item.value[1];
	if (item.histogram) return histogramText(item.histogram[1]);
	const samples = [...(item.values ?? []), ...(item.histograms ?? []).map(([t, h]) => [t, histogramText(h)])];
	const shown = samples.slice(-mostSamples).map(([t, v]) => `${v} @ ${exactAt(t)}`);
	if (samples.length > shown.length) shown.unshift(`… the newest of ${samples.length}`);
	return shown.join("\n");
}

// rowsOf is an instant query's data as [{labels, value}].
export function rowsOf({ resultType, result }) {
	if (resultType === "scalar" || resultType === "string") return [{ labels: {}, value: result[1] }];
	return result.map((item) => ({ labels: item.metric, value: valueText(item) }));
}

// columnsOf are the names of labels, the metric's name first.
export function columnsOf(rows) {
	const names = new Set();
	for (const r of rows) for (const name of Object.keys(r.labels)) names.add(name);
	const list = [...names].filter((n) => n !== "__name__").sort();
	return names.has("__name__") ? ["__name__", ...list] : list;
}

const collator = new Intl.Collator(undefined, { numeric: true });

function compare(a, b) {
	const [x, y] = [Number(a.replace("Inf", "Infinity")), Number(b.replace("Inf", "Infinity"))];
	if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
	if (a === "NaN" || b === "NaN") return a === b ? 0 : a === "NaN" ? 1 : -1;
	return collator.compare(a, b);
}

// Table shows rows, ordered by a column that its head's button chooses.
export class Table {
	#shown = rowsAtOnce;

	constructor(rows, { title, wide }) {
		this.rows = rows;
		this.title = title;
		this.wide = wide; // a column for each label; undefined: if they are few
		this.by = -1;
		this.desc = false;
		this.el = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title });
		this.more = element("p", { className: "more soft" });
		this.draw();
	}

	// like takes over what the viewer chose of another one.
	like(other) {
		Object.assign(this, { by: other.by, desc: other.desc });
		this.#shown = other.#shown;
		this.draw();
	}

	get columns() {
		const labels = columnsOf(this.rows);
		const wide = this.wide ?? labels.length <= mostColumns;
		const cells = wide && labels.length ? labels.map((name) => ({ title: name === "__name__" ? "name" : name, name, of: (r) => r.labels[name] ?? "" })) : [{ title: "series", of: (r) => seriesName(r.labels) }];
		return [...cells, { title: "value", number: true, of: (r) => r.value }];
	}

	sorted() {
		const column = this.columns[this.by];
		if (!column) return this.rows;
		const sign = this.desc ? -1 : 1;
		return [...this.rows].sort((a, b) => sign * compare(column.of(a), column.of(b)));
	}

	draw() {
		const { columns } = this;
		const head = element("tr", {}, ...columns.map((c, i) => {
			const button = element("button", { type: "button", className: "sort" }, c.title);
			button.addEventListener("click", () => {
				this.desc = this.by === i ? !this.desc : Boolean(c.number);
				this.by = i;
				this.draw();
				this.el.querySelectorAll("thead button")[i].focus();
			});
			const th = element("th", { scope: "col", className: c.number ? "number" : "" }, button);
			if (i === this.by) th.ariaSort = this.desc ? "descending" : "ascending";
			return th;
		}));
		const body = this.sorted().slice(0, this.#shown).map((r) => element("tr", {}, ...columns.map((c) => {
			const text = c.of(r);
			const td = element("td", { className: c.number ? "number" : "" });
			if (c.name === "__name__" && text) td.append(element("a", { href: metricURL(text) }, text));
			else td.textContent = text;
			return td;
		})));
		this.el.replaceChildren(element("table", { className: "table" },
			element("caption", { className: "hide" }, this.title), element("thead", {}, head), element("tbody", {}, ...body)));
		const left = this.rows.length - body.length;
		this.more.replaceChildren();
		if (left <= 0) return;
		const button = element("button", { type: "button" }, `Show ${Math.min(left, rowsAtOnce)} more`);
		button.addEventListener("click", () => {
			this.#shown += rowsAtOnce;
			this.draw();
		});
		this.more.append(`The first ${body.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} rows. `, button);
	}

	csv() {
		// All labels, whatever is shown.
		const labels = columnsOf(this.rows);
		return csv([[...labels.map((n) => text(n === "__name__" ? "name" : n)), "value"],
			...this.sorted().map((r) => [...labels.map((n) => text(r.labels[n] ?? "")), number(r.value)])]);
	}
}

// text is a cell of CSV. A spreadsheet takes what begins with one of these for a
// formula; with a ' before it doesn't.
function text(s) {
	return quoted(/^[=+\-@\t\r\n]/.test(s) ? `'${s}` : s);
}

const quoted = (s) => (/[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);

// number is a value of CSV: it stays one, if it is.
function number(s) {
	return /^(-?\d[\d.]*(e[+-]?\d+)?|NaN|[+-]Inf|)$/.test(s) ? s : text(s);
}

const csv = (rows) => rows.map((cells) => `${cells.join(",")}\r\n`).join("");

// seriesCSV is a graph as CSV: a row for each time, a column for each series.
export function seriesCSV(x, list) {
	return csv([["time", ...list.map((s) => text(s.name))],
		...x.map((t, i) => [new Date(t * 1000).toISOString(), ...list.map((s) => number(String(s.values[i] ?? "")))])]);
}

// download hands a text to the viewer as a file.
export function download(name, type, content) {
	const url = URL.createObjectURL(new Blob([content], { type }));
	const a = element("a", { href: url, download: name });
	document.body.append(a);
	a.click();
	a.remove();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
