// The answers of the API as they are, and how to ask for them from elsewhere.
import { ApiError } from "./api.js";
import { element } from "./results.js";

const base = document.documentElement.dataset.base ?? "";
const mostText = 200_000; // characters shown

// raw asks and returns {el, warnings, answer}: what is shown, the warnings, and a
// function that returns {data, warnings, infos} or throws what is wrong.
export async function raw({ path, params }, signal) {
	const url = `${base}api/v1/${path}?${new URLSearchParams(params)}`;
	let text = "", json = null, wrong = null;
	try {
		text = await (await fetch(url, { signal, headers: { Accept: "application/json" } })).text();
		json = JSON.parse(text);
	} catch (err) {
		if (err.name === "AbortError") throw err;
		wrong = new ApiError(text ? "The answer is no JSON." : "The server does not answer.");
	}
	const pretty = json && text.length < 4 * mostText ? JSON.stringify(json, null, 2) : text;
	const command = curl(new URL(`${base}api/v1/${path}`, location.href).href, params);
	const button = element("button", { type: "button" }, "Copy curl");
	button.addEventListener("click", async () => {
		button.textContent = await copy(command) ? "Copied" : "Not copied";
		setTimeout(() => { button.textContent = "Copy curl"; }, 2_000);
	});
	return {
		warnings: json?.warnings ?? [],
		answer() {
			if (wrong) throw wrong;
			if (json.status !== "success") throw new ApiError(json.error ?? json.detail ?? "The server gave no reason.");
			return { data: json.data, warnings: json.warnings ?? [], infos: json.infos ?? [] };
		},
		el: element("section", { className: "card raw" },
			element("div", { className: "request" }, element("a", { href: url, target: "_blank", rel: "noopener" }, "Open the answer"), button),
			region("pre", "curl", "Command", command),
			...(pretty.length > mostText ? [element("p", { className: "soft" }, `The first ${mostText.toLocaleString("en")} characters of ${pretty.length.toLocaleString("en")}.`)] : []),
			region("pre", "json", "Answer", pretty.slice(0, mostText))),
	};
}

// region is a part that may scroll, and so takes the focus.
const region = (name, className, ariaLabel, text) => element(name, { className, ariaLabel, role: "region", tabIndex: 0 }, text);

// copy puts text on the clipboard. The browser has one over TLS alone.
async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = element("textarea", { value: text, className: "hide" });
		document.body.append(area);
		area.select();
		const done = document.execCommand("copy");
		area.remove();
		return done;
	}
}

// curl is a command that sends a request of the API.
function curl(url, params) {
	const shell = (s) => `'${s.replaceAll("'", "'\\''")}'`;
	return [`curl --get ${shell(url)}`, ...params.map(([k, v]) => `--data-urlencode ${shell(`${k}=${v}`)}`)].join(" \\\n  ");
}
