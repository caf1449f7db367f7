// The range of time a page shows. It lives in the address, so that a link shows the
// same: ?range=6h up to now, or ?from=…&to=… in seconds since 1970.
import { at, fullAt, now, span, zone } from "./time.js";

const choices = [900, 3_600, 21_600, 86_400, 604_800]; // seconds
const shortest = 30;

// retention is how far the history goes back, in seconds; 0 if there is none.
export const retention = Number(document.documentElement.dataset.retention) || 0;

const sizes = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

function parseSpan(text) {
	const [, n, unit] = /^(\d{1,9})([smhdw])$/.exec(text ?? "") ?? [];
	return n ? Number(n) * sizes[unit] : 0;
}

// Range is the range and tells of each change by the event "change".
export class Range extends EventTarget {
	#fallback;

	constructor(fallback = 3_600) {
		super();
		this.#fallback = fallback;
		this.paused = false;
		this.#read();
		addEventListener("popstate", () => {
			this.#read();
			this.#tell();
		});
	}

	#read() {
		const params = new URLSearchParams(location.search);
		const from = Number(params.get("from"));
		const to = Number(params.get("to"));
		this.fixed = from > 0 && to > from ? { from, to: Math.max(to, from + shortest) } : null;
		this.length = parseSpan(params.get("range")) || this.#fallback;
	}

	#tell() { this.dispatchEvent(new Event("change")); }

	#write() {
		const params = new URLSearchParams(location.search);
		for (const name of ["range", "from", "to"]) params.delete(name);
		if (this.fixed) {
			params.set("from", this.fixed.from);
			params.set("to", this.fixed.to);
		} else if (this.length !== this.#fallback) params.set("range", span(this.length));
		history.pushState(null, "", params.size ? `?${params}` : location.pathname);
		this.#tell();
	}

	// live tells whether the range ends now.
	get live() { return !this.fixed; }

	// window is the range in seconds.
	window() {
		if (this.fixed) return { ...this.fixed };
		const to = now();
		return { from: to - this.length, to };
	}

	// last shows the last seconds, up to now.
	last(seconds) {
		this.fixed = null;
		this.length = seconds;
		this.paused = false;
		this.#write();
	}

	// set shows from one time to another, in seconds.
	set(from, to) {
		from = Math.round(from);
		this.fixed = { from, to: Math.max(Math.round(to), from + shortest) };
		this.#write();
	}

	// zoom makes the range shorter or longer around a time.
	zoom(factor, around) {
		const { from, to } = this.window();
		const middle = around ?? (from + to) / 2;
		this.set(middle - (middle - from) * factor, Math.min(middle + (to - middle) * factor, now()));
	}

	// reset leaves a zoom for the last range that ended now.
	reset() { this.last(this.length); }
}

// step is how far apart points are: a round time, so that there are at most a
// point per two pixels, and not more than the data has.
export function step(seconds, pixels, interval) {
	const least = Math.max(seconds / Math.max(60, pixels / 2), interval);
	for (const s of [1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400]) {
		if (s >= least) return s;
	}
	return Math.ceil(least / 86_400) * 86_400;
}

function element(name, props = {}, ...children) {
	const el = Object.assign(document.createElement(name), props);
	el.append(...children);
	return el;
}

// localInput is a time as <input type="datetime-local"> has it.
function localInput(seconds) {
	const t = new Date(seconds * 1000);
	return new Date(t - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

// picker fills el with the buttons that choose the range.
export function picker(el, range) {
	const lengths = [...choices.filter((c) => !retention || c < retention), ...(retention ? [retention] : [])];
	const buttons = lengths.map((seconds) => {
		const b = element("button", { type: "button", title: `The last ${span(seconds)}` }, span(seconds));
		b.addEventListener("click", () => range.last(seconds));
		return [seconds, b];
	});
	const custom = element("button", { type: "button", ariaExpanded: "false", className: "more" }, "Custom");
	const group = element("div", { className: "choices", role: "group", ariaLabel: "Range" }, ...buttons.map(([, b]) => b), custom);
	const shown = element("span", { className: "shown" });
	const reset = element("button", { type: "button", className: "quiet" }, "Reset zoom");
	const live = element("button", { type: "button", className: "live" }, "Live");

	const input = (label) => element("input", { type: "datetime-local", step: 1, required: true, ariaLabel: `${label} (${zone})` });
	const [from, to] = [input("From"), input("To")];
	const form = element("form", { className: "custom", hidden: true },
		element("label", {}, "From ", from), element("label", {}, "To ", to),
		element("button", {}, "Show"));

	custom.addEventListener("click", () => {
		form.hidden = !form.hidden;
		custom.ariaExpanded = String(!form.hidden);
		if (form.hidden) return;
		const w = range.window();
		from.value = localInput(w.from);
		to.value = localInput(w.to);
		from.focus();
	});
	form.addEventListener("submit", (e) => {
		e.preventDefault();
		const [a, b] = [from, to].map((i) => new Date(i.value).getTime() / 1000);
		to.setCustomValidity(b > a ? "" : "The end must be after the beginning.");
		if (!form.reportValidity()) return;
		form.hidden = true;
		custom.ariaExpanded = "false";
		range.set(a, b);
	});
	to.addEventListener("input", () => to.setCustomValidity(""));
	from.addEventListener("input", () => to.setCustomValidity(""));
	reset.addEventListener("click", () => range.reset());
	live.addEventListener("click", () => {
		if (!range.live) {
			range.reset();
			return;
		}
		range.paused = !range.paused;
		show();
		if (!range.paused) range.dispatchEvent(new Event("resume"));
	});

	function show() {
		for (const [seconds, b] of buttons) b.ariaPressed = String(range.live && range.length === seconds);
		custom.classList.toggle("on", !range.live);
		reset.hidden = range.live;
		const on = range.live && !range.paused;
		live.classList.toggle("on", on);
		live.textContent = on ? "Live" : "Paused";
		live.title = on ? "New values are shown as they come; press to pause" : "Press to follow new values";
		if (range.live) {
			shown.textContent = "";
		} else {
			const w = range.window();
			shown.textContent = `${at(w.from)} – ${at(w.to)}`;
			shown.title = `${fullAt(w.from)} – ${fullAt(w.to)}`;
		}
	}
	range.addEventListener("change", show);
	show();
	el.replaceChildren(group, form, shown, reset, live);
	el.hidden = false;
}

// follow calls tail every so many seconds while the range ends now, is not paused,
// and somebody looks; and once when somebody looks again.
export function follow(range, tail, seconds = 15) {
	let last = Date.now();
	const due = () => range.live && !range.paused && !document.hidden;
	const go = () => {
		last = Date.now();
		tail();
	};
	setInterval(() => { if (due()) go(); }, seconds * 1000);
	document.addEventListener("visibilitychange", () => {
		if (due() && Date.now() - last > seconds * 1000) go();
	});
	range.addEventListener("resume", () => { if (due()) go(); });
}
