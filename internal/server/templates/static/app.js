// What all pages do: the button of the theme, times where the viewer is.
import { localTimes, zone } from "./time.js";

const root = document.documentElement;
const button = document.getElementById("theme");
const themes = ["auto", "light", "dark"];

function show() {
	button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`;
}

button.addEventListener("click", () => {
	const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
	if (next === "auto") delete root.dataset.theme;
	else root.dataset.theme = next;
	try {
		localStorage.setItem("theme", next);
	} catch {
		// It holds for this page.
	}
	show();
	document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

show();
button.hidden = false;
const where = document.getElementById("zone");
where.textContent = `Times are in ${zone}`;
where.hidden = false;
localTimes(document);
