// Times: the server's clock, the viewer's zone.

const loaded = Date.now();
const said = Number(document.documentElement.dataset.now);
// A viewer's clock may be wrong; a second or two is how long the page took.
const skew = said && Math.abs(said - loaded) > 5_000 ? said - loaded : 0;

// now is the server's clock in seconds.
export const now = () => (Date.now() + skew) / 1000;

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

const sameDay = (a, b) => a.toDateString() === b.toDateString();

// at is a time (in seconds) as short as can be: the day is left out today.
export function at(seconds, withSeconds = true) {
	const t = new Date(seconds * 1000);
	const text = (withSeconds ? exact : clock).format(t);
	return sameDay(t, new Date(now() * 1000)) ? text : `${day.format(t)}, ${text}`;
}

export const clockAt = (seconds) => clock.format(new Date(seconds * 1000));
export const exactAt = (seconds) => exact.format(new Date(seconds * 1000));
export const dayAt = (seconds) => day.format(new Date(seconds * 1000));
export const fullAt = (seconds) => full.format(new Date(seconds * 1000));

// ago is how long a span of seconds is, by its largest unit: 3 min ago.
export function ago(seconds) {
	for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]]) {
		if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
	}
	return "now";
}

// span is a length of time by one unit, where it has one: 90 s, 6 h, 15 d.
export function span(seconds) {
	for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["m", 60]]) {
		if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
	}
	return `${seconds}s`;
}

// localTimes writes the times of a page, <time data-time>, in the viewer's zone;
// with data-time="ago" how long ago they are.
export function localTimes(root) {
	for (const t of root.querySelectorAll("time[data-time]")) {
		const seconds = Date.parse(t.dateTime) / 1000;
		if (Number.isNaN(seconds)) continue;
		t.textContent = t.dataset.time === "ago" ? ago(now() - seconds) : at(seconds);
		t.title = `${fullAt(seconds)} (${t.dateTime})`;
	}
}
