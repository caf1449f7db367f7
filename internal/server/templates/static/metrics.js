// What the page of all series does beyond HTML: it filters while you type, shows times where
// you are, and stays fresh. Without it the form and the links do the work.
"use strict";

(() => {
	const refreshEvery = 10_000; // ms
	const refreshUpTo = 2_000; // series; a larger page is as of when it was loaded
	const oldAfter = 5 * 60_000; // ms without an update, and the age stands out

	const $ = (id) => document.getElementById(id);
	const form = document.forms[0];
	const input = $("q");
	const live = $("live");
	document.documentElement.classList.add("js");

	const count = new Intl.NumberFormat("en");
	const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
	const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
	const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

	let words = []; // the words looked for, in lower case
	let asOf; // the server's clock when it made what is shown

	// Times and long numbers are made readable when their chunk comes near the
	// screen, not before: there may be 100,000.

	const nearScreen = new IntersectionObserver((entries) => {
		for (const e of entries) {
			if (e.isIntersecting) {
				nearScreen.unobserve(e.target);
				for (const row of e.target.rows) readable(row);
			}
		}
	}, { rootMargin: "1000px" });

	function readable(row) {
		const value = row.cells[3];
		const [, sign, digits, rest] = /^(-?)(\d+)(.*)$/.exec(value.textContent) ?? [];
		if (digits?.length > 4) {
			const groups = digits.match(/\d{1,3}(?=(?:\d{3})*$)/g);
			value.replaceChildren(sign + groups.shift(), ...groups.map((g) => element("i", g)), rest);
		}
		const t = row.cells[4].firstElementChild;
		const when = new Date(t.dateTime);
		t.textContent = local(when);
		t.title = `${full.format(when)} (${t.dateTime})`;
		const age = element("span", ago(asOf - when));
		age.className = "age";
		t.after(age);
		row.classList.toggle("old", asOf - when > oldAfter);
	}

	function element(name, text) {
		const el = document.createElement(name);
		el.textContent = text;
		return el;
	}

	function local(when) {
		const today = when.toDateString() === asOf.toDateString();
		return today ? time.format(when) : `${day.format(when)}, ${time.format(when)}`;
	}

	function ago(ms) {
		for (const [unit, size] of [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]]) {
			if (ms >= size) return `${Math.floor(ms / size)} ${unit} ago`;
		}
		return "now";
	}

	// prepare takes over what the server sent: at the start, and after a refresh.
	function prepare() {
		const t = $("asof");
		asOf = new Date(t.dateTime);
		t.textContent = time.format(asOf);
		t.title = `${full.format(asOf)} (${t.dateTime})`;
		for (const body of chunks()) {
			body.style.setProperty("--rows", body.rows.length);
			nearScreen.observe(body);
		}
		live.hidden = Number($("metrics").dataset.total) > refreshUpTo;
		filter();
	}

	const chunks = () => document.querySelectorAll("tbody");

	// The server's rule: each word stands in the kind, the name or a label.
	function filter() {
		words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
		if (!document.querySelector("table")) return;
		let shown = 0;
		for (const body of chunks()) {
			let here = 0;
			for (const row of body.rows) {
				row.hidden = words.length > 0 && !matches(row);
				if (!row.hidden) here++;
			}
			body.hidden = here === 0;
			body.style.setProperty("--rows", here);
			shown += here;
		}
		const { total } = $("metrics").dataset;
		$("shown").textContent = count.format(shown);
		$("of").hidden = shown === Number(total);
		$("of").textContent = ` of ${count.format(total)}`;
		$("none").hidden = shown > 0;
	}

	function matches(row) {
		row.text ??= [0, 1, 2].map((i) => row.cells[i].textContent).join(" ").toLowerCase();
		return words.every((w) => row.text.includes(w));
	}

	// The address always tells what is shown, so it can be kept and sent on.
	function address() {
		const params = new URLSearchParams(new FormData(form));
		if (!input.value.trim()) params.delete("q");
		return params.size ? `?${params}` : location.pathname;
	}

	let loading; // the request on its way, if any

	async function load() {
		loading?.abort();
		const mine = loading = new AbortController();
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
			if (loading === mine) loading = undefined;
		}
	}

	// take puts the next page's rows in place of ours. The header stays, and with
	// it the focus and what is being typed.
	function take(next) {
		const here = $("metrics");
		const there = next.getElementById("metrics");
		const table = here.querySelector("table");
		const newTable = there.querySelector("table");
		if (table && newTable) {
			for (const body of table.tBodies) nearScreen.unobserve(body);
			while (table.tBodies.length) table.tBodies[0].remove();
			table.append(...newTable.tBodies);
		} else {
			here.replaceChildren(...there.childNodes);
		}
		Object.assign(here.dataset, there.dataset);
		for (const id of ["shown", "of"]) {
			$(id).textContent = next.getElementById(id).textContent;
			$(id).hidden = next.getElementById(id).hidden;
		}
		$("asof").dateTime = next.getElementById("asof").dateTime;
		prepare();
	}

	// What the server left out can't be shown by filtering: then it is asked again.
	const complete = () => {
		const loaded = $("metrics").dataset.query.toLowerCase().split(/\s+/).filter(Boolean);
		return loaded.every((l) => words.some((w) => w.includes(l)));
	};

	let typing;
	input.addEventListener("input", () => {
		filter();
		clearTimeout(typing);
		typing = setTimeout(() => {
			history.replaceState(null, "", address());
			for (const a of document.querySelectorAll("thead a")) {
				const params = new URLSearchParams(a.search);
				params.delete("q");
				if (input.value.trim()) params.set("q", input.value);
				a.search = params;
			}
			if (!complete()) load();
		}, 200);
	});

	form.addEventListener("submit", (e) => {
		e.preventDefault();
		history.replaceState(null, "", address());
		load();
	});

	document.addEventListener("keydown", (e) => {
		if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && document.activeElement !== input) {
			e.preventDefault();
			input.select();
		}
	});

	live.addEventListener("click", () => {
		const on = live.classList.toggle("on");
		live.textContent = on ? "Live" : "Paused";
		if (on) load();
	});

	// Not while nobody looks, and not under the hands of someone who selects text.
	const due = () => live.classList.contains("on") && !live.hidden && !document.hidden &&
		getSelection().isCollapsed;
	setInterval(() => { if (due() && !loading) load(); }, refreshEvery);
	document.addEventListener("visibilitychange", () => { if (due()) load(); });

	prepare();
})();
