// What the server knows for a list of completions: never all of it, some hundred
// names or values at the most.
import { labelNames, labelValues, metadata } from "./api.js";
import { literal, narrowed } from "./promql.js";

const mostNames = 100; // asked for at once

const known = new Map(); // metadata by metric

// help is the type and the help of a metric, if the server knows them.
export async function help(name) {
	if (!known.has(name)) {
		const ask = async () => {
			for (const n of [name, name.replace(/_(bucket|sum|count|total)$/, "")]) {
				const { data } = await metadata(n);
				const [first] = Object.values(data)[0] ?? [];
				if (first) return first;
			}
			return null;
		};
		known.set(name, ask().catch(() => {
			known.delete(name); // another time, perhaps
			return null;
		}));
	}
	return known.get(name);
}

// values are those of a label that begin with the prefix, then those it stands within,
// of the series that a selector finds.
async function values(label, prefix, selector, options) {
	const ask = async (match) => (await labelValues(label, { match, limit: mostNames, ...options })).data;
	if (!prefix) return ask(selector);
	const first = await ask(narrowed(selector, label, "=~", `${literal(prefix)}.*`));
	if (first.length >= 20 || prefix.length < 2) return first;
	return [...new Set([...first, ...await ask(narrowed(selector, label, "=~", `(?i).*${literal(prefix)}.*`))])];
}

const names = (prefix, options) => values("__name__", prefix, undefined, options);

// lookup asks for what can stand at a place, as {text, kind}.
export async function lookup(at, { from: start, to: end, signal }) {
	const options = { start, end, signal };
	const metric = (text) => ({ text, kind: "metric" });
	switch (at.kind) {
	case "expr": return (await names(at.prefix, options)).map(metric);
	case "name": {
		const { data } = await labelNames({ match: at.match, limit: 2 * mostNames, ...options });
		const labels = data.map((text) => ({ text, kind: "label" })).filter((l) => l.text !== "__name__" || !at.frame.metric);
		return at.names && at.prefix ? [...(await names(at.prefix, options)).map(metric), ...labels] : labels;
	}
	case "value": {
		if (!at.label) return [];
		const data = await values(at.label, at.prefix, at.match[0], options);
		return data.map((text) => ({ text, kind: "value" }));
	}
	}
	return [];
}
