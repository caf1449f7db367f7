// The page of a machine: its charts, and the numbers that stand in the HTML, which
// are asked for again while somebody looks.
import { Board } from "./chart.js";
import { format } from "./format.js";
import { Range, follow, picker } from "./range.js";
import { localTimes } from "./time.js";

// modes of a CPU from the bottom of the stack to its top, with their colours.
const modes = [["system", 6], ["user", 1], ["nice", 7], ["iowait", 2], ["irq", 5], ["softirq", 9], ["steal", 4]];

const named = (rows) => new Map(rows.map((r) => [r.labels.__name__, r.values]));
// derive is a series made of others, where all of them have a value.
const derive = (length, f, ...all) => Array.from({ length }, (_, i) => {
	const vs = all.map((a) => a?.[i] ?? null);
	return vs.includes(null) ? null : f(...vs);
});
const byLabel = (...labels) => (rows) => rows
	.map((r) => ({ name: labels.map((l) => r.labels[l]).filter(Boolean).join(" ") || "value", values: r.values }))
	.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
// largest puts those first that are highest on the average.
const largest = (label) => (rows) => byLabel(label)(rows)
	.map((s) => ({ s, sum: s.values.reduce((a, v) => a + (v ?? 0), 0) }))
	.sort((a, b) => b.sum - a.sum).map(({ s }) => s);

// shapes make what is drawn of the answers to the queries.
const shapes = {
	cpu: (rows) => {
		const at = new Map(rows.map((r) => [r.labels.mode, r.values]));
		return modes.filter(([m]) => at.has(m)).map(([name, colour]) => ({ name, colour, values: at.get(name) }));
	},
	load: (rows, x) => {
		const at = named(rows);
		const cores = rows.find((r) => !r.labels.__name__)?.values;
		return [["1 min", "node_load1", 1], ["5 min", "node_load5", 3], ["15 min", "node_load15", 4]]
			.map(([name, key, colour]) => ({ name, colour, values: at.get(key) ?? new Array(x.length).fill(null) }))
			.concat(cores ? [{ name: "cores", colour: 8, dash: [4, 4], values: cores }] : []);
	},
	memory: (rows, x) => {
		const at = named(rows);
		const of = (key) => at.get(`node_memory_${key}_bytes`);
		const n = x.length;
		const slab = of("SReclaimable") ?? new Array(n).fill(0);
		const [total, free, buffers, cached] = ["MemTotal", "MemFree", "Buffers", "Cached"].map(of);
		return [
			{ name: "used", colour: 1, values: derive(n, (t, f, b, c, s) => t - f - b - c - s, total, free, buffers, cached, slab) },
			{ name: "buffers", colour: 4, values: buffers ?? [] },
			{ name: "cache", colour: 3, values: derive(n, (c, s) => c + s, cached, slab) },
			{ name: "free", colour: 8, values: free ?? [] },
		];
	},
	swap: (rows, x) => {
		const at = named(rows);
		const [total, free] = [at.get("node_memory_SwapTotal_bytes"), at.get("node_memory_SwapFree_bytes")];
		return [
			{ name: "used", colour: 6, values: derive(x.length, (t, f) => t - f, total, free) },
			{ name: "size", colour: 8, dash: [4, 4], values: total ?? [] },
		];
	},
	"own-memory": (rows, x) => {
		const at = named(rows);
		const [total, free] = [at.get("TotalMemory"), at.get("FreeMemory")];
		return [
			{ name: "used", colour: 1, values: derive(x.length, (t, f) => t - f, total, free) },
			{ name: "free", colour: 8, values: free ?? [] },
		];
	},
	pressure: byLabel("what"),
	full: byLabel("mountpoint"),
	"disk-bytes": byLabel("device", "way"),
	"disk-ops": byLabel("device", "way"),
	"disk-busy": byLabel("device"),
	"net-in": byLabel("device"),
	"net-out": byLabel("device"),
	"own-cpu": byLabel("__name__"),
	"process-cpu": largest("groupname"),
	"process-memory": largest("groupname"),
	"container-cpu": largest("name"),
	"container-memory": largest("name"),
};

// The window of rates stands outside of strings: a machine may be called $window.
const withWindow = (query, window) => query.replace(/"(?:[^"\\]|\\.)*"|\$window\b/g, (token) => (token === "$window" ? window : token));

const sections = document.getElementById("sections");
const tools = document.getElementById("range");
if (tools) {
	const range = new Range();
	picker(tools, range);
	const board = new Board(range, { interval: Number(sections.dataset.interval) || 15 });
	for (const figure of document.querySelectorAll("[data-chart]")) {
		const { chart, query, unit, stack, max } = figure.dataset;
		board.add(figure, {
			unit, stack: Boolean(stack), max: max && Number(max),
			query: ({ window }) => withWindow(query, window),
			shape: shapes[chart],
		});
	}
	follow(range, refresh, 30);
}

// refresh takes the numbers of the page as it is now. What is selected or has the
// focus is left alone.
let refreshing = false;

async function refresh() {
	if (refreshing || !getSelection().isCollapsed) return;
	refreshing = true;
	try {
		const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(60_000) });
		if (!answer.ok) throw new Error(format(answer.status));
		const next = new DOMParser().parseFromString(await answer.text(), "text/html");
		for (const there of next.querySelectorAll("[data-part]")) {
			const here = document.querySelector(`[data-part="${CSS.escape(there.dataset.part)}"]`);
			if (here && !here.contains(document.activeElement)) here.replaceChildren(...there.childNodes);
		}
		localTimes(document);
		document.body.classList.remove("lost");
	} catch {
		document.body.classList.add("lost"); // the charts say why
	} finally {
		refreshing = false;
	}
}
