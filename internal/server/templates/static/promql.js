// PromQL as its editor needs it: the parts of a query for colours, and what can
// stand where the caret is. The server's parser alone says what is right.

const kinds = { v: "vector", r: "range", s: "number" };
const parse = (text) => new Map(text.trim().split("\n").map((line) => {
	const [call, doc] = line.split(" | ");
	return [call.slice(0, call.indexOf("(")), { signature: call.replace(/\b[vrs]\b/g, (k) => kinds[k]), doc }];
}));

// v: a vector, one value a series; r: a range of samples, as in x[5m]; s: a number.
export const functions = parse(`
abs(v) | values without their sign
absent(v) | 1 if v has no series at all
absent_over_time(r) | 1 if r has no sample at all
acos(v) | arc cosine, in radians
acosh(v) | inverse hyperbolic cosine
asin(v) | arc sine, in radians
asinh(v) | inverse hyperbolic sine
atan(v) | arc tangent, in radians
atanh(v) | inverse hyperbolic tangent
avg_over_time(r) | mean of the samples
ceil(v) | rounded up to whole numbers
changes(r) | how often the value changed
clamp(v, min s, max s) | values kept between min and max
clamp_max(v, max s) | values of max at most
clamp_min(v, min s) | values of min at least
cos(v) | cosine of radians
cosh(v) | hyperbolic cosine
count_over_time(r) | number of samples
day_of_month(v) | day of the month in UTC, 1 to 31, of Unix times
day_of_week(v) | day of the week in UTC, 0 is Sunday, of Unix times
day_of_year(v) | day of the year in UTC, 1 to 366, of Unix times
days_in_month(v) | length of the month in UTC, of Unix times
deg(v) | radians as degrees
delta(r) | how much a gauge changed over the range
deriv(r) | how fast a gauge changes a second, by least squares
double_exponential_smoothing(r, smoothing s, trend s) | smoothed value of a gauge; both factors between 0 and 1
end() | the end of the query's range, as a Unix time
exp(v) | e to the power of the values
first_over_time(r) | the oldest sample
floor(v) | rounded down to whole numbers
histogram_avg(v) | mean of what native histograms counted
histogram_count(v) | how many observations native histograms have
histogram_fraction(lower s, upper s, v) | share of observations between two values
histogram_quantile(share s, v) | the value that this share of observations is below; v has buckets by le, or native histograms
histogram_quantiles(v, label, share s, …) | several quantiles at once, told apart by a label
histogram_stddev(v) | standard deviation of native histograms
histogram_stdvar(v) | variance of native histograms
histogram_sum(v) | sum of the observations of native histograms
hour(v) | hour of the day in UTC, of Unix times
idelta(r) | difference of the last two samples of a gauge
increase(r) | how much a counter grew over the range; resets are seen
info(v, selector) | v with the labels of its info metrics
integral(r) | area under a gauge over the range, in value times seconds
irate(r) | growth of a counter a second, by its last two samples
label_join(v, to, separator, from, …) | a label made of others
label_replace(v, to, replacement, from, regex) | a label made of parts of another
last_over_time(r) | the newest sample
ln(v) | natural logarithm
log10(v) | decimal logarithm
log2(v) | binary logarithm
mad_over_time(r) | median of the distances from the median
max_of(a s, b s) | the larger of two numbers
max_over_time(r) | the largest sample
min_of(a s, b s) | the smaller of two numbers
min_over_time(r) | the smallest sample
minute(v) | minute of the hour in UTC, of Unix times
month(v) | month in UTC, 1 to 12, of Unix times
pi() | 3.14159…
predict_linear(r, seconds s) | where a gauge will be in so many seconds, by least squares
present_over_time(r) | 1 for each series with a sample
quantile_over_time(share s, r) | quantile of the samples
rad(v) | degrees as radians
range() | the length of the query's range in seconds
rate(r) | growth of a counter a second, over the range; resets are seen
resets(r) | how often a counter began anew
round(v, to s) | rounded to whole numbers, or to multiples of to
scalar(v) | the value of the only series, as a number
sgn(v) | the sign: 1, 0 or -1
sin(v) | sine of radians
sinh(v) | hyperbolic sine
sort(v) | smallest values first; in tables
sort_by_label(v, label, …) | ordered by labels; in tables
sort_by_label_desc(v, label, …) | the same, last first
sort_desc(v) | largest values first; in tables
sqrt(v) | square root
start() | the start of the query's range, as a Unix time
start_timestamp(v) | when a counter began to count, as a Unix time
stddev_over_time(r) | standard deviation of the samples
stdvar_over_time(r) | variance of the samples
step() | the distance of the query's points in seconds
sum_over_time(r) | sum of the samples
tan(v) | tangent of radians
tanh(v) | hyperbolic tangent
time() | when the query is evaluated, as a Unix time
timestamp(v) | when the samples were taken, as Unix times
ts_of_first_over_time(r) | when the oldest sample was taken
ts_of_last_over_time(r) | when the newest sample was taken
ts_of_max_over_time(r) | when the largest sample was taken
ts_of_min_over_time(r) | when the smallest sample was taken
vector(s) | a number as a vector without labels
year(v) | year in UTC, of Unix times
`);

export const aggregations = parse(`
avg(v) | mean over series; by (…) and without (…) make groups
bottomk(k s, v) | the k series with the smallest values
count(v) | number of series
count_values(label, v) | number of series by value; the value becomes a label
group(v) | 1 for each group of series
limit_ratio(ratio s, v) | a share of the series, chosen by their labels
limitk(k s, v) | k series, whichever
max(v) | largest value of the series
min(v) | smallest value of the series
quantile(share s, v) | quantile over series
stddev(v) | standard deviation over series
stdvar(v) | variance over series
sum(v) | sum over series; by (…) and without (…) make groups
topk(k s, v) | the k series with the largest values
`);

const words = (text) => new Map(text.trim().split("\n").map((line) => line.split(" | ")));
const grouping = words(`
by | a value for each combination of these labels
without | a value for each combination of the other labels
`);
const binary = words(`
and | series of the left side that the right side has too
or | the left side, and what it lacks from the right
unless | series of the left side that the right side lacks
atan2 | arc tangent of left over right
offset | the same, so long ago: offset 1d
`);
const matching = words(`
on | match series by these labels
ignoring | match series by all labels but these
group_left | several on the left may match one on the right
group_right | several on the right may match one on the left
bool | 0 or 1 instead of leaving out series
`);
const rare = ["fill", "fill_left", "fill_right", "smoothed", "anchored"];
const keywords = new Set([...grouping.keys(), ...binary.keys(), ...matching.keys(), ...rare]);
const takesLabels = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"]);

const pattern = new RegExp([
	/(?<space>\s+)/, /(?<comment>#[^\n]*)/,
	/(?<string>"(?:\\[^\n]|[^"\\\n])*"?|'(?:\\[^\n]|[^'\\\n])*'?|`[^`]*`?)/,
	/(?<duration>(?:\d+(?:ms|[smhdwy]))+(?!\w))/,
	/(?<number>0x[\da-f]+|(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:e[+-]?\d+)?)/,
	/(?<word>:?[A-Za-z_][\w:]*(?:\.[\w:.]*)?)/,
	/(?<op>=~|!~|==|!=|<=|>=|[-+*/%^=<>@:,])/, /(?<bracket>[()[\]{}])/, /(?<other>[^])/,
].map((r) => r.source).join("|"), "giu");

// scan is the tokens of a query: {type, text, from, to, cls, frame, after, before}.
// frame is the innermost brackets around it, after those behind it, before the token
// before it that is no space.
export function scan(text) {
	const out = [];
	let frame, before;
	for (const m of text.matchAll(pattern)) {
		const [type] = Object.entries(m.groups).find(([, v]) => v !== undefined);
		const t = { type, text: m[0], from: m.index, to: m.index + m[0].length, frame, before };
		if (type === "bracket") {
			if ("([{".includes(t.text)) {
				frame = { open: t.text, head: before, from: t.from, up: frame, tokens: [] };
				frame.labels = t.text === "(" && before?.type === "word" && takesLabels.has(before.text.toLowerCase());
				frame.metric = t.text === "{" && before?.cls === "metric" ? before.text : "";
				t.opens = frame;
			} else {
				t.closes = frame;
				frame = frame?.up;
			}
		} else if (type !== "space" && type !== "comment") t.frame?.tokens.push(t);
		t.after = frame;
		t.cls = classOf(t, text);
		out.push(t);
		if (type !== "space" && type !== "comment") before = t;
	}
	return out;
}

function classOf(t, text) {
	if (t.type !== "word") return t.type;
	if (t.frame?.open === "{" || t.frame?.labels) return "label";
	const called = /^\s*\(/.test(text.slice(t.to));
	const word = t.text.toLowerCase();
	if (aggregations.has(word) && (called || /^\s*(by|without)\b/i.test(text.slice(t.to)))) return "function";
	if (called && functions.has(t.text)) return "function";
	if (keywords.has(word)) return "keyword";
	return word === "inf" || word === "nan" ? "number" : "metric";
}

// unquote is the text of a string of PromQL.
export function unquote(s) {
	const quote = s[0];
	const inner = s.endsWith(quote) && s.length > 1 ? s.slice(1, -1) : s.slice(1);
	if (quote === "`") return inner;
	return inner.replace(/\\(x[\da-f]{2}|u[\da-f]{4}|U[\da-f]{8}|[^])/gi, (_, c) => {
		if (c.length > 1) return String.fromCodePoint(parseInt(c.slice(1), 16));
		return { n: "\n", t: "\t", r: "\r" }[c] ?? c;
	});
}

const isMatch = (t) => t?.type === "op" && ["=", "!=", "=~", "!~"].includes(t.text);

// matchers is what stands in braces, but for the part the caret is in, as a selector;
// "" if that is nothing.
function matchers(frame, caret) {
	const parts = [[]];
	for (const t of frame.tokens) {
		if (t.text === "," && t.type === "op") parts.push([]);
		else parts.at(-1).push(t);
	}
	const whole = parts.filter((p) => p.length && !(p[0].from < caret && caret <= p.at(-1).to) && p.at(-1).type === "string" && (p.length === 1 || (p.length === 3 && isMatch(p[1]))));
	const inner = whole.map((p) => p.map((t) => t.text).join("")).join(",");
	return frame.metric || inner ? `${frame.metric}{${inner}}` : "";
}

// selectors are the metrics that a query speaks of, as selectors.
export function selectors(tokens) {
	const out = new Set();
	for (const t of tokens) {
		if (t.cls === "metric") out.add(`{__name__=${JSON.stringify(t.text)}}`);
		else if (t.opens?.open === "{" && !t.opens.metric) out.add(matchers(t.opens, -1));
	}
	out.delete("");
	return [...out].slice(0, 4);
}

// place is what can stand at the caret: {kind, from, to, prefix, …}. Kinds: name (a
// label's; match: selectors), value (label, match), duration, operator, after (an
// operand), group (an aggregation), expr, and none.
export function place(text, caret) {
	const tokens = scan(text);
	const t = tokens.find((k) => k.from < caret && caret <= k.to);
	const none = { kind: "none", from: caret, to: caret, prefix: "", frame: t?.after };
	if (t?.type === "comment") return none;
	const partial = t && ["word", "number", "duration"].includes(t.type);
	const open = t?.type === "string" && (caret < t.to || t.text.length === 1 || !t.text.endsWith(t.text[0]));
	if (t?.type === "string" && !open) return none;
	const frame = partial || open ? t.frame : t?.after;
	const before = partial || open || t?.type === "space" ? t.before : t;
	const at = {
		from: partial || open ? t.from : caret, to: partial ? t.to : caret, frame, tokens,
		prefix: partial ? text.slice(t.from, caret) : open ? unquote(text.slice(t.from, caret) + t.text[0]) : "",
		quote: open ? t.text[0] : "",
	};
	// The rest of a string, if it looks like one: a quote may be missing.
	if (open) at.to = caret + /^[^"'`{},=\n]*(["'`]?)/.exec(text.slice(caret))[0].length;

	if (frame?.open === "{") {
		const match = matchers(frame, caret);
		if (isMatch(before)) {
			const name = before.before;
			const value = { ...at, kind: "value", label: name?.type === "string" ? unquote(name.text) : name?.text, match: match ? [match] : [] };
			// Of a regular expression, what follows the last bar.
			const cut = open && before.text.endsWith("~") ? Math.max(...["|", "("].map((c) => text.slice(at.from, caret).lastIndexOf(c))) + 1 : 0;
			return cut ? { ...value, from: at.from + cut, to: caret, prefix: text.slice(at.from + cut, caret), inner: true } : value;
		}
		if (before?.text === "{" || before?.text === ",") {
			const named = frame.metric || frame.tokens.some((k, i) => k.type === "string" && k !== t && !isMatch(k.before) && !isMatch(frame.tokens[i + 1]));
			return { ...at, kind: "name", match: match ? [match] : [], names: !named && (open || before.text === "{") };
		}
		return before?.type === "word" || (before?.type === "string" && !isMatch(before.before)) ? { ...at, kind: "operator" } : none;
	}
	if (open) return none;
	if (frame?.labels) return before?.text === "(" || before?.text === "," ? { ...at, kind: "name", match: selectors(tokens) } : none;
	if (frame?.open === "[") return { ...at, kind: "duration" };
	if (before?.text?.toLowerCase() === "offset") return { ...at, kind: "duration" };
	if (t?.type === "number" || t?.type === "duration") return none;
	if (before?.cls === "function" || (aggregations.has(before?.text) && before.type === "word")) return { ...at, kind: "group" };
	const closed = before?.closes;
	const operand = closed ? !closed.labels || grouping.has(closed.head.text.toLowerCase()) : before && (["number", "duration", "string"].includes(before.type) || before.cls === "metric");
	return { ...at, kind: operand ? "after" : "expr", modifiers: before?.type === "op" && before.text !== "," };
}

const durations = ["1m", "5m", "15m", "30m", "1h", "6h", "1d", "7d"];
const units = ["s", "m", "h", "d", "w"];

// fixed is what completes a place without asking the server.
export function fixed(at) {
	const of = (map, kind) => [...map].map(([text, help]) => ({ text, kind, help, insert: `${text} ` }));
	const calls = (map, kind) => [...map].map(([text, f]) => ({ text, kind, help: f.doc, signature: f.signature, call: true }));
	switch (at.kind) {
	case "duration": {
		const digits = /^\d+/.exec(at.prefix)?.[0];
		return (digits ? units.map((u) => digits + u) : durations).map((text) => ({ text, kind: "duration", help: "" }));
	}
	case "operator": return [["=", "is"], ["!=", "is not"], ["=~", "matches the regular expression"], ["!~", "does not match"]].map(([text, help]) => ({ text, kind: "operator", help }));
	case "group": return of(grouping, "keyword");
	case "after": return [...of(binary, "keyword"), ...of(grouping, "keyword")];
	case "expr": return [...calls(aggregations, "aggregation"), ...calls(functions, "function"), ...(at.modifiers ? of(matching, "keyword") : [])];
	}
	return [];
}

// rank orders candidates: the same, those that begin so, those with it inside; others
// are left out.
export function rank(list, prefix) {
	const p = prefix.toLowerCase();
	const score = ({ text }) => {
		const s = text.toLowerCase();
		return s === p ? 0 : s.startsWith(p) ? 1 : s.split(/[_:.]/).some((part) => part.startsWith(p)) ? 2 : s.includes(p) ? 3 : 4;
	};
	return list.map((c) => [score(c), c]).filter(([s]) => s < 4).sort((a, b) => a[0] - b[0]).map(([, c]) => c);
}

// narrowed is a selector with one more matcher; none for an empty selector and none.
export function narrowed(selector, label, op, value) {
	const name = plainLabel(label) ? label : JSON.stringify(label);
	const inner = (selector || "{}").slice(0, -1);
	return `${inner}${inner.endsWith("{") ? "" : ","}${name}${op}${JSON.stringify(value)}}`;
}

// literal is text as a regular expression that matches it alone.
export const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

export const plain = (name) => /^[A-Za-z_:][\w:]*$/.test(name);
export const plainLabel = (name) => /^[A-Za-z_]\w*$/.test(name);

// offset turns line and column, in bytes and from 1, into a place in the text.
export function offset(text, line, column) {
	let start = 0;
	for (let i = 1; i < line; i++) start = text.indexOf("\n", start) + 1;
	const bytes = new TextEncoder().encode(text.slice(start));
	return Math.min(text.length, start + new TextDecoder().decode(bytes.slice(0, column - 1)).length);
}

const keepsUnit = new Set(["sum", "avg", "min", "max", "topk", "bottomk", "quantile", "limitk", "increase", "delta", "idelta", "abs", "sort", "sort_desc", "histogram_quantile", "quantile_over_time",
	"avg_over_time", "min_over_time", "max_over_time", "last_over_time", "first_over_time", "sum_over_time"]);

// unitName is the metric whose unit a query's values have, and whether by the second;
// "" if that can't be told.
export function unitSource(text) {
	let metric = "", perSecond = false;
	for (const t of scan(text)) {
		if (t.frame?.open === "{" || t.frame?.labels) continue;
		if (t.cls === "metric") {
			if (metric && metric !== t.text) return ["", false];
			metric = t.text;
		} else if (t.cls === "function" && /^(rate|irate|deriv)$/.test(t.text)) perSecond = true;
		else if ((t.cls === "function" && !keepsUnit.has(t.text)) || (t.type === "op" && !",:".includes(t.text) && !t.frame?.open?.match(/[[{]/)) || ["and", "or", "unless"].includes(t.text)) return ["", false];
	}
	return [metric.replace(/_(bucket|sum)$/, ""), perSecond];
}
