// The page where queries are asked. Queries, view and range live in the address, so
// that a link shows the same.
import { ApiError, ask, labelValues, query as instant, queryRange } from "./api.js";
import { Board, seriesName, tabulate } from "./chart.js";
import { Editor } from "./editor.js";
import { unitOf } from "./format.js";
import { follow, picker, Range } from "./range.js";
import { plain, unitSource } from "./promql.js";
import { menu, remember } from "./recent.js";
import { download, element, rowsOf, seriesCSV, Table } from "./results.js";
import { raw } from "./raw.js";
import { at, fullAt, span } from "./time.js";

const mostQueries = 6;
const mostDrawn = 40; // series of a query; as many a chart draws in all
const mostRows = 10_000; // of a table
const mostRaw = 100; // series of raw JSON over time; ten times as many at one time
const truncated = "results truncated due to limit";
const steps = [1, 5, 10, 15, 30, 60, 300, 900, 3_600, 21_600, 86_400];

const form = document.getElementById("explore");
const list = document.getElementById("queries");
const results = document.getElementById("results");
if (form) start();

function start() {
	let rows = []; // {editor, li}
	let view = "graph", wide, drawn = [], times = [];
	let request; // the AbortController of table and JSON
	const spec = { stack: false, step: 0, unit: "", title: "Graph" };

	addEventListener("popstate", restore); // before the range tells of it
	const range = new Range();
	picker(document.getElementById("range"), range);
	const board = new Board(range, { interval: 5 });

	// What is pressed.
	const button = (text, act, props = {}) => {
		const b = element("button", { type: "button", ...props }, text);
		b.addEventListener("click", act);
		return b;
	};
	const actions = form.querySelector(".actions");
	const add = button("Add query", () => addQuery("").editor.textarea.focus());
	const recent = menu("History", (text) => {
		const free = rows.find((r) => !r.editor.value.trim()) ?? rows.at(-1);
		free.editor.value = text;
		run();
	});
	actions.append(add, recent, element("span", { className: "keys soft" }, "Ctrl-Space completes, Enter runs, Shift-Enter starts a line"));
	form.addEventListener("submit", (e) => {
		e.preventDefault();
		run();
	});

	// What is shown.
	const views = ["graph", "table", "json"].map((name) => button(name === "json" ? "JSON" : name[0].toUpperCase() + name.slice(1), () => {
		view = name;
		write();
		show();
	}));
	const status = element("p", { className: "status soft", role: "status" });
	const step = element("select", { id: "step" }, element("option", { value: "" }, "auto"), ...steps.map((s) => element("option", { value: s }, span(s))));
	step.addEventListener("change", () => {
		spec.step = Number(step.value);
		write();
		board.reload();
	});
	const stack = element("input", { type: "checkbox" });
	stack.addEventListener("change", () => {
		spec.stack = stack.checked;
		write();
		chart.redraw(true);
	});
	const columns = element("input", { type: "checkbox" });
	columns.addEventListener("change", () => {
		wide = columns.checked;
		showTables();
	});
	const over = element("select", {}, element("option", { value: "json" }, "at the end of the range"), element("option", { value: "json-range" }, "over the range"));
	over.addEventListener("change", () => {
		view = over.value;
		write();
		show();
	});
	const csv = button("Export CSV", () => {
		if (view === "graph") download("graph.csv", "text/csv", seriesCSV(times, drawn));
		else download("table.csv", "text/csv", tables.map((t) => t.csv()).join("\r\n"));
	});
	const options = {
		graph: [element("label", {}, "Step ", step), element("label", {}, stack, " Stacked")],
		table: [element("label", {}, columns, " Labels as columns")],
		json: [element("label", {}, "Values ", over)],
	};
	const figure = element("figure", { className: "card chart", id: "graph" }, element("figcaption", {}, element("h2", { className: "hide" }, "Graph")));
	const notice = element("p", { className: "cut", role: "status" });
	const panel = element("div", { id: "panel" });
	const settings = element("span", { className: "options" });
	const intro = element("section", { className: "intro card" });
	const shown = element("div", {},
		element("div", { className: "views" }, element("div", { className: "choices", role: "group", ariaLabel: "View" }, ...views), settings, csv, status),
		notice, figure, panel);
	results.append(shown, intro);
	let tables = [];

	spec.ask = askGraph;
	spec.shape = (found, x) => {
		times = x;
		return found.map(({ labels, values }) => ({ name: nameOf(labels), values }));
	};
	spec.drawn = (series) => { drawn = series; };
	const chart = board.add(figure, spec);

	range.addEventListener("change", () => { if (view !== "graph") load(); });
	// A slow query gets its time: asking anew would give it up.
	follow(range, () => { if (view === "table" && !request && getSelection().isCollapsed) load(); });
	restore();
	if (asked().length) show();
	else introduce();
	// Not where it would bring up a keyboard of glass.
	if (!matchMedia("(pointer: coarse)").matches) rows[0].editor.textarea.focus({ preventScroll: true });

	// The address.

	function restore() {
		const params = new URLSearchParams(location.search);
		const texts = params.getAll("query").map((t) => t.replaceAll("\r\n", "\n")).filter((t) => t.trim()).slice(0, mostQueries);
		if (rows.length === 0 || texts.join("\0") !== asked().map((r) => r.editor.value).join("\0")) {
			list.replaceChildren();
			rows = [];
			for (const text of texts.length ? texts : [""]) addQuery(text);
		}
		view = ["graph", "table", "json", "json-range"].find((v) => v === params.get("view")) ?? "graph";
		spec.stack = stack.checked = params.get("stack") === "1";
		const seconds = Number(params.get("step"));
		spec.step = seconds > 0 && Number.isFinite(seconds) ? seconds : 0;
		if (spec.step && !steps.includes(spec.step)) step.append(element("option", { value: spec.step }, span(spec.step)));
		step.value = spec.step || "";
		prepare();
		showView();
	}

	function write() {
		const params = new URLSearchParams(location.search);
		for (const name of ["query", "view", "stack", "step"]) params.delete(name);
		const out = new URLSearchParams();
		for (const r of asked()) out.append("query", r.editor.value);
		for (const [k, v] of params) out.append(k, v);
		if (view !== "graph") out.set("view", view);
		if (spec.stack) out.set("stack", "1");
		if (spec.step) out.set("step", spec.step);
		history.replaceState(null, "", out.size ? `?${out}` : location.pathname);
	}

	// Queries.

	function asked() { return rows.filter((r) => r.editor.value.trim()); }
	function letter(r) { return String.fromCharCode(65 + rows.indexOf(r)); }

	function addQuery(text) {
		const id = `q${(addQuery.n = (addQuery.n ?? -1) + 1)}`;
		const textarea = element("textarea", { id, name: "query", spellcheck: false, autocapitalize: "off", value: text, placeholder: "PromQL, such as up or rate(node_cpu_seconds_total[5m])" });
		textarea.setAttribute("autocomplete", "off");
		const mark = element("span", { className: "letter", ariaHidden: "true" });
		const row = { mark, textarea };
		const tidy = button("Format", async () => {
			try {
				const { data } = await ask("format_query", { query: row.editor.value });
				row.editor.value = data;
			} catch (err) {
				row.editor.fail(err.message);
			}
		}, { className: "quiet", title: "Lay the query out over lines" });
		row.remove = button("Remove", () => {
			rows = rows.filter((r) => r !== row);
			row.li.remove();
			label();
			rows[0].editor.textarea.focus();
			run();
		}, { className: "quiet" });
		row.li = element("li", { className: "query" }, mark, textarea, element("div", { className: "own" }, tidy, row.remove));
		list.append(row.li);
		row.editor = new Editor(textarea, { window: () => range.window(), run });
		rows.push(row);
		label();
		return row;
	}

	function label() {
		for (const r of rows) {
			r.mark.textContent = letter(r);
			r.textarea.ariaLabel = `Query ${letter(r)}`;
			r.remove.hidden = rows.length === 1;
		}
		list.classList.toggle("many", rows.length > 1);
		add.hidden = rows.length >= mostQueries;
	}

	function run() {
		for (const r of rows) r.editor.close();
		write();
		remember(asked().map((r) => r.editor.value.trim()));
		if (asked().length === 0) {
			introduce();
			return;
		}
		show();
	}

	// prepare sets what depends on the queries.
	function prepare() {
		const units = new Set(asked().map((r) => {
			const [name, perSecond] = unitSource(r.editor.value);
			const unit = unitOf(name);
			if (!perSecond) return unit;
			return unit === "bytes" ? "bytes/s" : unit === "" && name ? "ops/s" : "";
		}));
		spec.unit = units.size === 1 ? [...units][0] : "";
		spec.title = asked().map((r) => r.editor.value).join("; ").slice(0, 200);
		chart.title = spec.title;
		document.title = `${spec.title || "Explore"} · gometheus`;
	}

	function show() {
		results.classList.remove("failed");
		prepare();
		showView();
		if (view === "graph") board.reload();
		load();
	}

	function showView() {
		const name = view.split("-")[0];
		views.forEach((b, i) => { b.ariaPressed = String(["graph", "table", "json"][i] === name); });
		settings.replaceChildren(...options[name]);
		csv.hidden = name === "json";
		over.value = name === "json" ? view : "json";
		figure.hidden = name !== "graph";
		panel.hidden = name === "graph";
		const some = asked().length > 0;
		shown.hidden = !some;
		intro.hidden = some || document.getElementById("empty") !== null;
		if (some && document.getElementById("empty")) document.getElementById("empty").hidden = true;
	}

	function load() {
		request?.abort();
		request = undefined;
		if (view === "graph" || asked().length === 0) return;
		const mine = request = new AbortController();
		(view === "table" ? loadTables : loadRaw)(mine.signal).finally(() => { if (request === mine) request = undefined; });
	}

	// told puts errors and warnings where they belong, and returns what went well:
	// [{row, data, cut}].
	async function told(promises, signal) {
		const who = asked();
		const answers = await Promise.allSettled(promises);
		signal.throwIfAborted();
		const good = [];
		answers.forEach(({ value, reason }, i) => {
			const row = who[i];
			row.editor.clear();
			if (reason) {
				row.editor.fail(reason instanceof ApiError ? reason.message : String(reason));
				return;
			}
			const notes = [...value.warnings, ...value.infos];
			row.editor.warn(notes.filter((n) => n !== truncated));
			good.push({ row, data: value.data, cut: notes.includes(truncated) });
		});
		results.classList.toggle("failed", good.length === 0);
		return good;
	}

	// The graph.

	async function askGraph({ start, end, step: points, signal }) {
		const began = performance.now();
		const who = asked();
		const { from, to } = range.window();
		const good = await told(who.map((r) => queryRange(r.editor.value, { start, end, step: points, limit: mostDrawn, signal })), signal);
		if (good.length === 0) {
			notice.textContent = "";
			status.textContent = "";
			throw new Error("Nothing was drawn: see what is wrong above.");
		}
		const matrix = good.flatMap(({ row, data }) => data.result.map((s) => ({
			...s, metric: Object.keys(s.metric).length && who.length === 1 ? s.metric : { ...s.metric, "": letter(row) },
		})));
		if (end - start >= (to - from) / 2) { // no tail
			const took = Math.round(performance.now() - began);
			status.textContent = `${matrix.length} series, a point every ${span(points)}, ${took} ms`;
			notice.textContent = matrix.some((s) => s.histograms) ? "Native histograms are not drawn; histogram_quantile() makes numbers of them." : "";
			const cut = good.filter((g) => g.cut);
			if (cut.length) tellCut(cut, end, signal);
		}
		return tabulate(matrix, start, end, points);
	}

	async function tellCut(cut, end, signal) {
		const parts = await Promise.all(cut.map(async ({ row }) => {
			const which = rows.length > 1 ? `Query ${letter(row)}: the` : "The";
			let of = "there are more";
			try {
				const { data } = await instant(`count(\n${row.editor.value}\n)`, { time: end, signal });
				const n = Number(data.result[0]?.value[1]);
				if (n > mostDrawn) of = `there are ${n.toLocaleString("en")}`;
			} catch (err) {
				if (err.name === "AbortError") return "";
			}
			return `${which} first ${mostDrawn} series are drawn; ${of}. topk(${mostDrawn}, …), an aggregation or more labels make it fewer.`;
		}));
		if (!signal.aborted && parts.some(Boolean)) notice.textContent = [notice.textContent, ...parts].filter(Boolean).join(" ");
	}

	function nameOf({ "": key, ...labels }) {
		const row = rows[(key?.charCodeAt(0) ?? 65) - 65];
		const name = Object.keys(labels).length ? seriesName(labels) : row?.editor.value.replace(/\s+/g, " ").slice(0, 100) || "value";
		return key && asked().length > 1 ? `${key}: ${name}` : name;
	}

	// The table.

	async function loadTables(signal) {
		const began = performance.now();
		const { to } = range.window();
		panel.ariaBusy = "true";
		try {
			const good = await told(asked().map((r) => instant(r.editor.value, { time: to.toFixed(3), limit: mostRows, signal })), signal);
			const old = tables;
			tables = good.map(({ row, data }) => {
				const t = new Table(rowsOf(data), { title: row.editor.value.trim(), wide });
				const before = old.find((o) => o.title === t.title);
				if (before) t.like(before); // live: as the viewer had it
				return t;
			});
			const n = tables.reduce((sum, t) => sum + t.rows.length, 0);
			status.textContent = good.length ? `${n.toLocaleString("en")} rows at ${at(to)}, ${Math.round(performance.now() - began)} ms` : "";
			status.title = fullAt(to);
			notice.textContent = good.some((g) => g.cut) ? `The first ${mostRows.toLocaleString("en")} rows alone were asked for; there are more.` : "";
			showTables();
		} catch (err) {
			if (err.name !== "AbortError") throw err;
		} finally {
			if (!signal.aborted) panel.ariaBusy = "false";
		}
	}

	function showTables() {
		const places = () => [...panel.querySelectorAll("button, a[href]")];
		const focused = places().indexOf(document.activeElement);
		panel.replaceChildren(...tables.map((t) => {
			if (wide !== undefined && t.wide !== wide) {
				t.wide = wide;
				t.by = -1;
				t.draw();
			}
			return element("section", { className: "card" }, ...(asked().length > 1 ? [element("h2", {}, element("code", {}, t.title))] : []),
				...(t.rows.length ? [t.el, t.more] : [element("p", { className: "soft" }, "No series has a value at the end of the range.")]));
		}));
		if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
		columns.checked = wide ?? tables.every((t) => t.columns.length > 2 || t.rows.every((r) => Object.keys(r.labels).length < 2));
		csv.disabled = tables.every((t) => t.rows.length === 0);
	}

	// The raw JSON.

	async function loadRaw(signal) {
		const { from, to } = range.window();
		const who = asked();
		const requests = who.map((r) => {
			const params = [["query", r.editor.value]];
			if (view === "json") params.push(["time", to.toFixed(3)], ["limit", 10 * mostRaw]);
			else {
				const seconds = spec.step || Math.max(1, Math.ceil((to - from) / 250));
				params.push(["start", Math.ceil(from / seconds) * seconds], ["end", Math.floor(to / seconds) * seconds], ["step", seconds], ["limit", mostRaw]);
			}
			return { path: view === "json" ? "query" : "query_range", params };
		});
		panel.ariaBusy = "true";
		const began = performance.now();
		let sections;
		try {
			sections = await Promise.all(requests.map((r) => raw(r, signal)));
			await told(sections.map(async ({ answer }) => answer()), signal);
		} catch (err) {
			if (err.name === "AbortError") return;
			throw err;
		}
		panel.ariaBusy = "false";
		status.textContent = `${Math.round(performance.now() - began)} ms`;
		notice.textContent = sections.some((s) => s.warnings.includes(truncated)) ? "The requests have a limit, which cut the answer; without it all series are there." : "";
		panel.replaceChildren(...sections.map((s) => s.el));
	}

	// Nothing asked yet.

	async function introduce() {
		notice.textContent = "";
		status.textContent = "";
		for (const r of rows) r.editor.clear();
		showView();
		intro.replaceChildren(element("h2", {}, "Ask what the metrics say"),
			element("p", {}, "Start to type the name of a metric, or press Ctrl-Space for what there is. A function, a range in brackets, labels in braces: the list under the caret always knows what can follow."));
		try {
			const { from: start, to: end } = range.window();
			const { data } = await labelValues("__name__", { limit: 12, start, end });
			if (data.length === 0) return;
			intro.append(element("p", {}, "Some of the metrics here:"), element("p", { className: "examples" }, ...data.map((name) => button(name, () => {
				rows[0].editor.value = plain(name) ? name : `{${JSON.stringify(name)}}`;
				run();
			}))));
		} catch {
			// Then without examples.
		}
	}
}
