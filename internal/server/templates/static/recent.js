// The last queries, kept by this browser alone.
import { element } from "./results.js";

const key = "explore-queries";
const most = 20;

// stored are the last queries, newest first.
export function stored() {
	try {
		const list = JSON.parse(localStorage.getItem(key));
		return Array.isArray(list) ? list.filter((s) => typeof s === "string").slice(0, most) : [];
	} catch {
		return [];
	}
}

function store(list) {
	try {
		localStorage.setItem(key, JSON.stringify(list));
	} catch {
		// No storage, no memory.
	}
}

export function remember(queries) {
	const fresh = queries.filter(Boolean);
	if (fresh.length) store([...new Set([...fresh, ...stored()])].slice(0, most));
}

// menu is a button that opens the list of the last queries; take is told of the one
// that was chosen.
export function menu(title, take) {
	const button = element("button", { type: "button", ariaExpanded: "false" }, title);
	const list = element("ul", { ariaLabel: title });
	const el = element("div", { className: "recent" }, button, list);
	list.hidden = true;
	const close = () => {
		list.hidden = true;
		button.ariaExpanded = "false";
	};
	button.addEventListener("click", () => {
		if (!list.hidden) {
			close();
			return;
		}
		const rows = stored().map((text) => {
			const b = element("button", { type: "button", title: text }, text);
			b.addEventListener("click", () => {
				close();
				take(text);
			});
			return element("li", {}, b);
		});
		const clear = element("button", { type: "button", className: "clear" }, "Forget all");
		clear.addEventListener("click", () => {
			store([]);
			close();
			button.focus();
		});
		list.replaceChildren(...(rows.length ? [...rows, element("li", {}, clear)] : [element("li", { className: "soft" }, "No query was run in this browser yet.")]));
		list.hidden = false;
		button.ariaExpanded = "true";
		list.querySelector("button")?.focus();
	});
	el.addEventListener("keydown", (e) => {
		const all = [...list.querySelectorAll("button")];
		const move = { ArrowDown: 1, ArrowUp: -1 }[e.key];
		if (e.key === "Escape" && !list.hidden) {
			close();
			button.focus();
		} else if (move && all.length && !list.hidden) all[(all.indexOf(document.activeElement) + move + all.length) % all.length].focus();
		else return;
		e.preventDefault();
	});
	el.addEventListener("focusout", (e) => { if (!el.contains(e.relatedTarget)) close(); });
	return el;
}
