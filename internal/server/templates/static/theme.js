// Before the first paint, so that nothing flashes: the theme the viewer chose.
"use strict";
try {
	const theme = localStorage.getItem("theme");
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
	// No storage: the system's theme.
}
document.documentElement.classList.add("js");
