// What the overview does beyond HTML: it filters while you type, shows times where
// you are, and stays fresh. Without it the forms and the links do the work.
import { ago, at, exactAt, fullAt, localTimes } from "./time.js";

const refreshEvery = 10_000; // ms
const patience = 15_000; // ms, then the server is lost
const oldAfter = 5 * 60; // seconds without an update, and the age stands out

const $ = (id) => document.getElementById(id);
const live = $("live");
const count = new Intl.NumberFormat("en");

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

// raw is a cell as the server sent it, before the script made it readable.
const raw = new WeakMap();

function element(name, className, text) {
	const el = document.createElement(name);
	el.className = className;
	el.textContent = text;
	return el;
}

let asOf; // the server's clock when it made what is shown, a Date

// Tables: each knows its field, and how to tell what is found.

const machines = {
	field: "m", page: "mpage", body: "fleet",
	text: (row) => ["name", "health", "version", "labels"].map((c) => {
		const cell = row.querySelector(`.${c}`);
		return (c === "health" ? cell.querySelector(".badge") : cell).textContent;
	}).join(" "),
	key: (row) => row.cells[0].textContent,
	readable(row) { localTimes(row); },
	found(n, total) {
		$("m-shown").textContent = n === total ? "" : `${count.format(n)} of ${count.format(total)} match`;
		$("m-none").hidden = n > 0;
	},
};

const series = {
	field: "q", page: "page", body: "metrics",
	text: (row) => [0, 1, 2].map((i) => row.cells[i].textContent).join(" "),
	key: (row) => [0, 1, 2].map((i) => row.cells[i].textContent).join("\n"),
	readable(row) {
		const value = row.cells[3];
		const [, sign, digits, rest] = /^(-?)(\d+)(.*)$/.exec(value.textContent) ?? [];
		if (digits?.length > 4) {
			const groups = digits.match(/\d{1,3}(?=(?:\d{3})*$)/g);
			value.replaceChildren(sign + groups.shift(), ...groups.map((g) => element("i", "", g)), rest);
		}
		const t = row.cells[4].firstElementChild;
		const when = new Date(t.dateTime);
		t.textContent = at(when / 1000);
		t.title = `${fullAt(when / 1000)} (${t.dateTime})`;
		const age = (asOf - when) / 1000;
		t.after(element("span", "age", ago(age)));
		row.classList.toggle("old", age > oldAfter);
	},
	found(n, total) {
		$("shown").textContent = count.format(n);
		$("of").hidden = n === total;
		$("of").textContent = ` of ${count.format(total)}`;
		$("none").hidden = n > 0;
	},
};

const kinds = [machines, series];
const table = (kind, root = document) => root.getElementById(kind.body)?.querySelector("table");
const input = (kind) => $(kind.field);

// A row whose cells are made readable, each remembered as it was.
function prepareRow(kind, row) {
	for (const cell of row.cells) raw.set(cell, cell.innerHTML);
	if (!isGroup(row)) kind.readable(row);
}

const isGroup = (row) => row.classList.contains("group");
const rows = (t) => [...t.tBodies].flatMap((b) => [...b.rows]).filter((r) => !isGroup(r));

function showTime() {
	const t = $("asof");
	asOf = new Date(t.dateTime);
	t.textContent = exactAt(asOf / 1000);
	t.title = `${fullAt(asOf / 1000)} (${t.dateTime})`;
}

// The server's rule: each word stands in one of the texts.
function filter(kind) {
	const t = table(kind);
	if (!t) return;
	const words = wordsOf(input(kind).value);
	const data = $(kind.body).dataset;
	// While the server's answer is of the same words, its count is of all pages.
	if (same(words, wordsOf(data.query))) {
		for (const row of rows(t)) row.hidden = false;
		for (const body of t.tBodies) body.hidden = false;
		kind.found(Number(data.found), Number(data.total));
		return;
	}
	let shown = 0;
	for (const body of t.tBodies) {
		let here = 0;
		for (const row of body.rows) {
			if (isGroup(row)) continue;
			row.text ??= kind.text(row).toLowerCase();
			row.hidden = !words.every((w) => row.text.includes(w));
			if (!row.hidden) here++;
		}
		body.hidden = here === 0;
		shown += here;
	}
	// What other pages have is not known yet: the server is being asked.
	if (complete(kind)) kind.found(shown, Number(data.total));
}

const same = (a, b) => a.join(" ") === b.join(" ");

// complete tells whether all that may match is on the page.
function complete(kind) {
	const data = $(kind.body).dataset;
	const words = wordsOf(input(kind).value);
	return Number(data.pages) <= 1 && wordsOf(data.query).every((l) => words.some((w) => w.includes(l)));
}

// address is that of what is shown, so it can be kept and sent on.
function address() {
	const params = new URLSearchParams(location.search);
	for (const kind of kinds) {
		const field = input(kind);
		if (!field) continue;
		const typed = field.value.trim() ? field.value : "";
		if (typed !== (params.get(kind.field) ?? "")) params.delete(kind.page);
		if (typed) params.set(kind.field, typed);
		else params.delete(kind.field);
	}
	const group = $("group");
	if (group?.value) params.set("group", group.value);
	else if (group) params.delete("group");
	return params.size ? `?${params}` : location.pathname;
}

let loading; // the request on its way, if any

async function load() {
	loading?.abort();
	const mine = loading = new AbortController();
	const slow = setTimeout(() => mine.abort(new Error("The server is slow")), patience);
	try {
		const answer = await fetch(address(), { signal: mine.signal, headers: { Accept: "text/html" } });
		if (!answer.ok) throw new Error(answer.statusText);
		const next = new DOMParser().parseFromString(await answer.text(), "text/html");
		if (mine.signal.aborted) return;
		take(next);
		live.classList.remove("lost");
		live.title = "";
	} catch (err) {
		if (err.name === "AbortError") return;
		live.classList.add("lost");
		live.title = "The server did not answer; this is what it said last.";
	} finally {
		clearTimeout(slow);
		if (loading === mine) loading = undefined;
	}
}

// take puts the next page in place of ours. Fields, and what is being typed, stay;
// so do rows, cells and links that say the same, and with them focus, selection and
// scroll.
function take(next) {
	$("asof").dateTime = next.getElementById("asof").dateTime;
	showTime();
	const shape = (root) => kinds.map((k) => Boolean(table(k, root))).join();
	const focused = document.activeElement?.closest("td, th") && document.activeElement.getAttribute("href");
	if (shape(document) !== shape(next)) {
		replace(next);
		return;
	}
	for (const kind of kinds) {
		const [mine, theirs] = [table(kind), table(kind, next)];
		if (!mine) continue;
		merge(kind, mine, theirs);
		Object.assign($(kind.body).dataset, next.getElementById(kind.body).dataset);
	}
	for (const id of ["tally", "missing", "m-none"]) swap($(id), next.getElementById(id));
	const pagers = [...next.querySelectorAll(".pager")];
	document.querySelectorAll(".pager").forEach((p, i) => swap(p, pagers[i]));
	kinds.forEach(filter);
	if (focused && document.activeElement === document.body) {
		document.querySelector(`main [href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
	}
}

// replace puts all of the next page in place of ours: there are machines where none
// were, or the first metric came.
function replace(next) {
	const typed = kinds.map((k) => [k.field, input(k)?.value, document.activeElement === input(k)]);
	next.getElementById("live").replaceWith(live);
	$("content").replaceChildren(...next.getElementById("content").childNodes);
	for (const [id, value, focused] of typed) {
		if ($(id) && value !== undefined) $(id).value = value;
		if (focused) $(id)?.focus();
	}
	prepare();
}

function swap(mine, theirs) {
	if (!mine || !theirs) return;
	if (mine.innerHTML !== theirs.innerHTML) mine.replaceChildren(...theirs.childNodes);
	mine.hidden = theirs.hidden;
}

// merge makes mine say what theirs says.
function merge(kind, mine, theirs) {
	mine.className = theirs.className;
	const headers = [...theirs.tHead.rows[0].cells];
	[...mine.tHead.rows[0].cells].forEach((cell, i) => {
		if (cell.innerHTML !== headers[i].innerHTML) {
			const [a, b] = [cell.firstElementChild, headers[i].firstElementChild];
			a.setAttribute("href", b.getAttribute("href"));
		}
		if (headers[i].ariaSort) cell.ariaSort = headers[i].ariaSort;
		else cell.removeAttribute("aria-sort");
	});
	const old = new Map(rows(mine).map((r) => [kind.key(r), r]));
	const bodies = [...theirs.tBodies];
	bodies.forEach((theirBody, i) => {
		const body = mine.tBodies[i] ?? mine.createTBody();
		let at = body.firstElementChild;
		for (const theirRow of [...theirBody.rows]) {
			const known = isGroup(theirRow) ? undefined : old.get(kind.key(theirRow));
			let row = known;
			if (known) {
				old.delete(kind.key(theirRow));
				mergeRow(kind, known, theirRow);
			} else {
				row = document.adoptNode(theirRow);
				prepareRow(kind, row);
			}
			if (row === at) at = at.nextElementSibling;
			else body.insertBefore(row, at);
		}
		while (at) {
			const gone = at;
			at = at.nextElementSibling;
			gone.remove();
		}
	});
	while (mine.tBodies.length > bodies.length) mine.tBodies[bodies.length].remove();
}

function mergeRow(kind, mine, theirs) {
	mine.className = theirs.className;
	delete mine.text;
	[...theirs.cells].forEach((cell, i) => {
		const here = mine.cells[i];
		const time = cell.querySelector("time"); // its age grows, whatever the server says
		if (!time && raw.get(here) === cell.innerHTML && here.className === cell.className) return;
		raw.set(here, cell.innerHTML);
		here.className = cell.className;
		here.replaceChildren(...cell.childNodes);
	});
	kind.readable(mine);
}

let typing;

function typed(kind) {
	filter(kind);
	clearTimeout(typing);
	typing = setTimeout(() => {
		const to = address();
		const same = to === (location.search || location.pathname);
		history.replaceState(history.state, "", to);
		for (const a of document.querySelectorAll("thead a")) {
			const params = new URLSearchParams(a.search);
			params.delete(kind.field);
			if (input(kind).value.trim()) params.set(kind.field, input(kind).value);
			a.search = params;
		}
		if (!same && !complete(kind)) load();
	}, 200);
}

function prepare() {
	showTime();
	for (const kind of kinds) {
		const t = table(kind);
		if (!t) continue;
		for (const body of t.tBodies) for (const row of body.rows) prepareRow(kind, row);
		filter(kind);
		input(kind).addEventListener("input", () => typed(kind));
		input(kind).form.addEventListener("submit", (e) => {
			e.preventDefault();
			history.replaceState(history.state, "", address());
			load();
		});
	}
	$("group")?.addEventListener("change", () => {
		history.replaceState(history.state, "", address());
		load();
	});
	live.hidden = false;
}

// Sorting and paging without a new page: the table stays where it is.
document.addEventListener("click", (e) => {
	const link = e.target.closest?.("thead a, .pager a");
	if (!link || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
	e.preventDefault();
	history.pushState(null, "", link.search || location.pathname);
	const top = link.closest(".part");
	load().then(() => {
		if (link.closest(".pager") || !link.isConnected) top.scrollIntoView({ block: "start" });
	});
});

// Back: the address says what is looked for.
addEventListener("popstate", () => {
	const params = new URLSearchParams(location.search);
	for (const kind of kinds) if (input(kind)) input(kind).value = params.get(kind.field) ?? "";
	if ($("group")) $("group").value = params.get("group") ?? "";
	load();
});

document.addEventListener("keydown", (e) => {
	const field = $("m") ?? $("q");
	if (e.key === "/" && field && !e.ctrlKey && !e.metaKey && !e.altKey && !document.activeElement.matches("input, select, textarea")) {
		e.preventDefault();
		field.select();
	}
});

live.addEventListener("click", () => {
	const on = live.classList.toggle("on");
	live.textContent = on ? "Live" : "Paused";
	if (on) load();
});

// Not while nobody looks, and not under the hands of someone who selects text.
const due = () => live.classList.contains("on") && !document.hidden && getSelection().isCollapsed;
setInterval(() => { if (due() && !loading) load(); }, refreshEvery);
document.addEventListener("visibilitychange", () => { if (due()) load(); });

prepare();
