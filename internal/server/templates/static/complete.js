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

// names are metrics: those that begin with the prefix, then those it stands within.
async function names(prefix, options) {
	if (!prefix) return (await labelValues("__name__", { limit: mostNames, ...options })).data;
	const ask = async (regex) => (await labelValues("__name__", { match: [narrowed("", "__name__", "=~", regex)], limit: mostNames, ...options })).data;
	const first = await ask(`${literal(prefix)}.*`);
	if (first.length >= 20 || prefix.length < 2) return first;
	return [...new Set([...first, ...await ask(`(?i).*${literal(prefix)}.*`)])];
}

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
		const match = at.prefix ? [narrowed(at.match[0], at.label, "=~", `(?i).*${literal(at.prefix)}.*`)] : at.match;
		const { data } = await labelValues(at.label, { match, limit: mostNames, ...options });
		return data.map((text) => ({ text, kind: "value" }));
	}
	}
	return [];
}
