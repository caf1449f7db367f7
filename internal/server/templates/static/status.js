// The status page stays fresh: every few seconds its parts are fetched anew, while
// somebody looks. And it draws the server's own history, where there is some.
import { localTimes } from "./time.js";

const every = 5_000;
const button = document.getElementById("live");
let paused = false;
let range; // of the charts
let under; // the AbortController of the request on its way

function show(state) {
	button.classList.toggle("on", state === "Live");
	button.classList.toggle("lost", state === "Lost");
	button.textContent = state;
	button.title = state === "Live" ? "The numbers follow by themselves; press to pause"
		: state === "Lost" ? "The server does not answer; it is asked again" : "Press to follow again";
}

// places of the page that can have the focus, in order.
const places = (el) => [...el.querySelectorAll("a[href], button, [tabindex='0']")];

function swap(page) {
	for (const fresh of page.querySelectorAll("[data-live]")) {
		const old = document.getElementById(fresh.id);
		localTimes(fresh);
		if (!old || old.innerHTML === fresh.innerHTML) continue;
		const at = places(old).indexOf(document.activeElement);
		const scrolled = [...old.querySelectorAll(".scroll")].map((s) => s.scrollLeft);
		old.replaceChildren(...fresh.childNodes);
		[...old.querySelectorAll(".scroll")].forEach((s, i) => { s.scrollLeft = scrolled[i] ?? 0; });
		if (at >= 0) places(old)[at]?.focus({ preventScroll: true });
	}
}

async function refresh() {
	if (paused || document.hidden || under) return;
	under = new AbortController();
	const patience = setTimeout(() => under?.abort(), 15_000);
	try {
		const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: under.signal });
		if (!answer.ok) throw new Error(answer.statusText);
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		if (!paused) {
			// What is selected is being read or copied.
			if (getSelection().isCollapsed) swap(page);
			show("Live");
		}
	} catch {
		if (!paused) show("Lost");
	} finally {
		clearTimeout(patience);
		under = undefined;
	}
}

button.addEventListener("click", () => {
	paused = !paused;
	if (range) {
		range.paused = paused;
		if (!paused) range.dispatchEvent(new Event("resume"));
	}
	show(paused ? "Paused" : "Live");
	refresh();
});
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, every);
show("Live");
button.hidden = false;

const own = document.querySelectorAll("figure.own");
if (own.length > 0) {
	const [{ Board }, { Range, picker }] = await Promise.all([import("./chart.js"), import("./range.js")]);
	range = new Range(3_600);
	const board = new Board(range, { interval: 15 });
	range.paused = paused;
	picker(document.getElementById("range"), range);
	for (const figure of own) {
		const { title, unit, query } = figure.dataset;
		board.add(figure, {
			title, unit, query: ({ window }) => query.replaceAll("$window", window),
			shape: (rows) => rows.map((r) => ({ name: Object.values(r.labels).at(-1) ?? title, values: r.values })),
		});
	}
}
