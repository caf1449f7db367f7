// The last day of a metric. What is drawn is chosen here, and the server's choice of
// words (selectors, kind) stands in the section's data.
import { query, quote } from "./api.js";
import { Board, seriesName } from "./chart.js";
import { Range, picker } from "./range.js";

const section = document.getElementById("day");
if (section) start(section.dataset);

function start({ kind, selector, rows: metric, count, other, unit, interval, range: first, series, labels }) {
	const known = JSON.parse(labels);
	const total = Number(series);
	const range = new Range(Number(first) || 86_400);
	// All samples of a query have to be in memory: with many series its points are
	// further apart.
	const most = 5_000_000;
	const least = () => {
		const { from, to } = range.window();
		const crowd = view.how === "each" || view.how === "top" ? 1 : total;
		return Math.max(Number(interval), Math.ceil(crowd * (to - from) / most));
	};

	// How series become lines, by its name in the address.
	const histogram = kind === "histogram" || kind === "native";
	const ways = histogram
		? [["quantiles", "p50, p90, p99"], ["p99", "p99"], ["p90", "p90"], ["p50", "median"], ["mean", "mean"]]
		: [
			...(total <= 40 ? [["each", "each series"]] : []),
			...(total > 10 ? [["top", "the 10 highest now"]] : []),
			...(total > 1 ? [["avg", "the average"], ["sum", "the sum"], ["max", "the highest"], ["min", "the lowest"]] : []),
			...(other ? [["counter", "the counter, per second"]] : []),
		];
	if (kind === "histogram" && !count) ways.splice(ways.findIndex(([k]) => k === "mean"), 1);
	const grouped = (how) => !["quantiles", "each", "top", "counter"].includes(how);

	const params = new URLSearchParams(location.search);
	const view = {
		how: ways.some(([k]) => k === params.get("show")) ? params.get("show") : (total <= 10 || histogram ? ways[0][0] : "top"),
		by: known.includes(params.get("by")) ? params.get("by") : "",
	};
	let top = selector; // of those that were highest

	const counter = kind === "counter";
	const value = (sel, window) => (counter || view.how === "counter" ? `rate(${sel}[${window}])` : sel);
	const by = (...names) => {
		const all = names.filter(Boolean);
		return all.length ? ` by (${all.map(quote).join(", ")})` : "";
	};

	function expression({ window }) {
		const rate = `rate(${selector}[${window}])`;
		const group = grouped(view.how) ? view.by : "";
		const buckets = kind === "histogram" ? `sum${by("le", group)} (${rate})` : `sum${by(group)} (${rate})`;
		switch (view.how) {
		case "quantiles":
			return [["0.99", "p99"], ["0.9", "p90"], ["0.5", "p50"]]
				.map(([q, name]) => `label_replace(histogram_quantile(${q}, ${buckets}), "quantile", "${name}", "", "")`).join(" or ");
		case "p99": return `histogram_quantile(0.99, ${buckets})`;
		case "p90": return `histogram_quantile(0.9, ${buckets})`;
		case "p50": return `histogram_quantile(0.5, ${buckets})`;
		case "mean":
			if (kind === "native") return `histogram_avg(${buckets})`;
			return `sum${by(group)} (rate(${sumOf(count)}[${window}])) / sum${by(group)} (rate(${count}[${window}]))`;
		case "avg": case "sum": case "max": case "min":
			return `${view.how}${by(group)} (${value(selector, window)})`;
		case "counter": return `sum (${value(other, window)})`;
		case "top": return Array.isArray(top) ? top.map((s) => value(s, window)).join(" or ") : value(top, window);
		}
		return value(selector, window);
	}

	// sumOf is the selector of a histogram's sum, from that of its count.
	function sumOf(sel) {
		return sel.startsWith("{") ? sel.replace(/_count"/, '_sum"') : sel.replace(/_count(?=\{|$)/, "_sum");
	}

	const shown = (n) => {
		if (!counter && view.how !== "counter") return n;
		return n === "bytes" ? "bytes/s" : n === "seconds" ? "" : "ops/s";
	};

	// name says what tells a line from the others.
	function name(ls, all) {
		if (view.how === "quantiles") return ls.quantile;
		const { __name__: _, ...rest } = ls;
		const differ = Object.keys(rest).filter((k) => all.some((o) => o[k] !== ls[k]));
		if (all.length > 1 && differ.length > 0 && differ.length <= 3) return differ.map((k) => (differ.length === 1 && k === view.by ? rest[k] || "none" : `${k}=${rest[k]}`)).join(" ");
		const text = seriesName(rest);
		return text === "value" ? ways.find(([k]) => k === view.how)?.[1] ?? "value" : text;
	}

	const shape = (rows) => {
		const all = rows.map((r) => r.labels);
		const out = rows.map((r) => ({ name: name(r.labels, all), title: seriesName(r.labels), values: r.values }));
		const taken = new Map();
		for (const s of out) taken.set(s.name, (taken.get(s.name) ?? 0) + 1);
		for (const s of out) if (taken.get(s.name) > 1) s.name = s.title;
		if (view.how === "top") out.sort((a, b) => (b.values.findLast((v) => v !== null) ?? 0) - (a.values.findLast((v) => v !== null) ?? 0));
		return out;
	};

	range.addEventListener("change", () => { board.interval = least(); });
	const board = new Board(range, { interval: least() });
	picker(document.getElementById("range"), range);

	const figure = document.getElementById("chart");
	const title = figure.querySelector("h2").textContent;
	let chart;
	let chosen = 0;
	async function draw() {
		const mine = ++chosen;
		if (view.how === "top") top = await highest(range.window().to);
		if (mine !== chosen) return;
		board.interval = least();
		if (chart) {
			board.remove(chart);
			const head = document.createElement("figcaption");
			head.append(Object.assign(document.createElement("h2"), { textContent: title }));
			figure.replaceChildren(head);
		}
		chart = board.add(figure, { title, unit: histogram ? unit : shown(unit), query: expression, shape });
	}

	// highest asks which ten series are highest, and returns their selectors. To be
	// one of them takes to have no other labels either.
	async function highest(time) {
		const found = await query(`topk(10, ${value(selector, "5m")})`, { time, limit: 10 }).catch(() => undefined);
		const rows = found?.data.result ?? []; // an error the chart itself will tell
		if (rows.length === 0) return selector;
		return rows.map((row) => {
			const { __name__: _, ...ls } = row.metric;
			const parts = [`__name__=${quote(metric)}`, ...Object.entries(ls).map(([k, v]) => `${quote(k)}=${quote(v)}`)];
			for (const k of known) if (!(k in ls)) parts.push(`${quote(k)}=""`);
			return `{${parts.join(", ")}}`;
		});
	}

	const how = document.getElementById("how");
	const byLabel = document.getElementById("by");
	how.append(...ways.map(([k, text]) => new Option(text, k, false, k === view.how)));
	byLabel.append(new Option("all together", ""), ...known.filter((k) => k !== "le").map((k) => new Option(`by ${k}`, k, false, k === view.by)));
	const choose = () => {
		document.getElementById("bylabel").hidden = !grouped(view.how) || known.length === 0;
		document.getElementById("ways").hidden = ways.length < 2;
	};
	document.getElementById("ways").addEventListener("change", () => {
		view.how = how.value;
		view.by = byLabel.value;
		const params = new URLSearchParams(location.search);
		params.set("show", view.how);
		if (view.by && grouped(view.how)) params.set("by", view.by);
		else params.delete("by");
		history.replaceState(null, "", `?${params}`);
		choose();
		draw();
	});
	document.getElementById("ways").addEventListener("submit", (e) => e.preventDefault());
	choose();
	draw();

	const observations = document.getElementById("observations");
	if (observations) {
		board.add(observations, {
			title: "Observations", unit: "ops/s",
			query: ({ window }) => (kind === "native" ? `histogram_count(sum(rate(${count}[${window}])))` : `sum(rate(${count}[${window}]))`),
			shape: (rows) => rows.map((r) => ({ name: "observations", values: r.values })),
		});
	}
}
