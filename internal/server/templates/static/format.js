// Numbers as people read them, by unit: bytes, bytes/s, percent, seconds, ops/s,
// or "" for a plain number. templates/format.go does the same where it must.

const iec = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const si = ["", "k", "M", "G", "T", "P", "E"];

// significant is n with three digits, and without needless zeros.
function significant(n, digits = 3) {
	const abs = Math.abs(n);
	if (abs === 0) return "0";
	if (abs >= 10 ** (digits - 1)) return Math.round(n).toString();
	return String(Number(n.toPrecision(digits)));
}

function scaled(n, base, prefixes) {
	let i = 0;
	while (i < prefixes.length - 1 && Math.abs(n) >= base - 0.5) {
		n /= base;
		i++;
	}
	return [significant(n), prefixes[i]];
}

function small(n) {
	const abs = Math.abs(n);
	return abs !== 0 && (abs < 1e-3 || abs >= 1e18) ? n.toExponential(2) : undefined;
}

// seconds is a duration: 350 µs, 1.2 s, 3 h 20 min.
function seconds(n) {
	const abs = Math.abs(n);
	if (abs === 0) return "0 s";
	if (abs < 1e-6) return `${significant(n * 1e9)} ns`;
	if (abs < 1e-3) return `${significant(n * 1e6)} µs`;
	if (abs < 1) return `${significant(n * 1e3)} ms`;
	if (abs < 120) return `${significant(n)} s`;
	const parts = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
	const at = parts.findIndex(([size]) => abs >= size);
	const [size, name] = parts[at];
	const first = Math.floor(abs / size);
	const rest = Math.floor((abs - first * size) / parts[at + 1][0]);
	return `${n < 0 ? "-" : ""}${first} ${name}${rest ? ` ${rest} ${parts[at + 1][1]}` : ""}`;
}

// format is a value with its unit; null and NaN are a dash.
export function format(n, unit = "") {
	if (n === null || n === undefined || Number.isNaN(n)) return "–";
	if (!Number.isFinite(n)) return n > 0 ? "+Inf" : "-Inf";
	switch (unit) {
	case "bytes": case "bytes/s": {
		const [v, prefix] = scaled(n, 1024, iec);
		return `${v} ${prefix}B${unit === "bytes/s" ? "/s" : ""}`;
	}
	case "percent": return `${significant(n)} %`;
	case "seconds": return seconds(n);
	case "ops/s": {
		const [v, prefix] = scaled(n, 1000, si);
		return `${small(n) ?? `${v}${prefix && ` ${prefix}`}`}/s`;
	}
	}
	const [v, prefix] = scaled(n, 1000, si);
	return small(n) ?? (prefix ? `${v} ${prefix}` : v);
}

// unitName is the unit as a heading says it.
export function unitName(unit) {
	return { bytes: "bytes", "bytes/s": "bytes per second", percent: "percent", seconds: "seconds", "ops/s": "per second" }[unit] ?? unit;
}

// unitOf guesses the unit of a metric by how its name ends.
export function unitOf(name) {
	if (/_bytes(_total)?$/.test(name)) return "bytes";
	if (/_seconds(_total)?$/.test(name)) return "seconds";
	if (/_percent$/.test(name)) return "percent";
	return "";
}
