// The HTTP API of this server, /api/v1, as its pages use it: a few requests at a
// time, for a small machine answers one after the other anyway; errors that say
// what is wrong; each request can be given up.

const base = document.documentElement.dataset.base ?? "";
const atOnce = 2;
const longest = 1500; // characters of parameters that go into an address

// ApiError is what the server says is wrong. Its message is for people.
export class ApiError extends Error {
	constructor(message, { type = "", status = 0 } = {}) {
		super(message);
		this.name = "ApiError";
		this.type = type;
		this.status = status;
	}
}

let running = 0;
const waiting = [];

function turn(signal) {
	return new Promise((resolve, reject) => {
		const job = { start: resolve, signal };
		signal?.addEventListener("abort", () => {
			const i = waiting.indexOf(job);
			if (i >= 0) waiting.splice(i, 1);
			reject(signal.reason);
		}, { once: true });
		waiting.push(job);
		next();
	});
}

function next() {
	while (running < atOnce && waiting.length > 0) {
		running++;
		waiting.shift().start();
	}
}

// ask sends parameters to an endpoint and returns the answer's
// {data, warnings, infos}. It throws an ApiError, or an AbortError when the signal
// says so.
export async function ask(path, params = {}, { signal } = {}) {
	const body = new URLSearchParams();
	for (const [name, value] of Object.entries(params)) {
		for (const v of Array.isArray(value) ? value : [value]) {
			if (v !== undefined && v !== null && v !== "") body.append(name, v);
		}
	}
	signal?.throwIfAborted();
	await turn(signal);
	try {
		const long = body.toString().length > longest;
		const url = `${base}api/v1/${path}${long || !body.size ? "" : `?${body}`}`;
		const answer = await reach(url, { signal, method: long ? "POST" : "GET", body: long ? body : undefined });
		const text = await answer.text();
		return read(answer, text);
	} finally {
		running--;
		next();
	}
}

async function reach(url, options) {
	try {
		return await fetch(url, { headers: { Accept: "application/json" }, ...options });
	} catch (err) {
		if (err.name === "AbortError") throw err;
		throw new ApiError("The server does not answer.");
	}
}

function read(answer, text) {
	let json;
	try {
		json = JSON.parse(text);
	} catch {
		throw new ApiError(`The server answered ${answer.status} ${answer.statusText}`.trim(), { status: answer.status });
	}
	if (json.status === "success") return { data: json.data, warnings: json.warnings ?? [], infos: json.infos ?? [] };
	throw new ApiError(json.error ?? json.detail ?? answer.statusText, { type: json.errorType ?? json.code, status: answer.status });
}

// query is a query at one time (in seconds; now if none is given).
export const query = (expr, { time, limit, ...options } = {}) => ask("query", { query: expr, time, limit }, options);

// queryRange is a query over time; all times are in seconds. lookback is how long a
// sample counts for the present one.
export const queryRange = (expr, { start, end, step, lookback, limit, ...options }) =>
	ask("query_range", { query: expr, start, end, step, limit, lookback_delta: lookback }, options);

export const labelNames = ({ match, start, end, limit, ...options } = {}) =>
	ask("labels", { "match[]": match, start, end, limit }, options);

export const labelValues = (name, { match, start, end, limit, ...options } = {}) =>
	ask(`label/${encodeURIComponent(name)}/values`, { "match[]": match, start, end, limit }, options);

export const series = (match, { start, end, limit, ...options } = {}) =>
	ask("series", { "match[]": match, start, end, limit }, options);

export const metadata = (metric, options) => ask("metadata", { metric }, options);

// quote is text as PromQL writes it.
export const quote = (text) => JSON.stringify(text);

// number reads a sample's value.
export const number = (text) => (text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text));

// segment is a name as one segment of a path: as the server's segment().
function segment(name) {
	return name === "" || name === "." || name === ".." ? `?name=${encodeURIComponent(name)}` : encodeURIComponent(name);
}
export const metricURL = (name) => `${base}metric/${segment(name)}`;
