// The editor of a query: a textarea under a coloured copy of its text, with a list
// of what can stand at the caret. For screen readers it is a combobox.
//
// Ctrl-Space opens the list, arrows choose, Enter or Tab takes, Escape closes. Enter
// runs the query where no list is open, Shift-Enter starts a line.
import { help, lookup } from "./complete.js";
import { aggregations, fixed, functions, literal, offset, place, plain, plainLabel, rank, scan } from "./promql.js";

const mostShown = 200;
const pause = 120; // ms after the last key before the server is asked

function element(name, props = {}, ...children) {
	const el = Object.assign(document.createElement(name), props);
	el.append(...children);
	return el;
}

const pairs = { "(": ")", "[": "]", "{": "}", '"': '"', "'": "'" };
export class Editor {
	#open = false;
	#options = [];
	#active = 0;
	#at; // the place that is completed
	#asking; // AbortController
	#timer;
	#quiet = false; // while the editor writes itself
	#marks = [];

	// window() is the range that names are looked for in; run() runs all queries;
	// changed() is told of each change.
	constructor(textarea, { window, run, changed }) {
		Object.assign(this, { textarea, window, run, changed });
		const { id } = textarea;
		this.over = element("pre", { className: "over", ariaHidden: "true" });
		this.list = element("ul", { id: `${id}-list`, role: "listbox", ariaLabel: "Completions" });
		this.detail = element("div", { id: `${id}-detail`, className: "detail" });
		this.popup = element("div", { className: "popup", hidden: true }, this.list, this.detail);
		this.hint = element("p", { className: "hint soft", id: `${id}-hint` });
		this.problem = element("div", { className: "problems", id: `${id}-problem`, role: "alert" });
		this.spoken = element("p", { className: "hide", role: "status" });
		const box = element("div", { className: "ink" });
		textarea.replaceWith(box);
		box.append(this.over, textarea, this.popup);
		this.el = element("div", { className: "editor" });
		box.replaceWith(this.el);
		this.el.append(box, this.hint, this.problem, this.spoken);
		textarea.rows = 1;
		textarea.setAttribute("role", "combobox");
		textarea.setAttribute("aria-autocomplete", "list");
		textarea.setAttribute("aria-controls", this.list.id);
		textarea.setAttribute("aria-expanded", "false");
		textarea.setAttribute("aria-describedby", `${this.problem.id} ${this.hint.id}`);
		textarea.addEventListener("beforeinput", (e) => this.#pair(e));
		textarea.addEventListener("input", () => this.#input());
		textarea.addEventListener("keydown", (e) => this.#key(e));
		textarea.addEventListener("blur", () => this.close());
		for (const event of ["keyup", "click", "focus"]) textarea.addEventListener(event, () => this.#moved());
		this.list.addEventListener("mousedown", (e) => e.preventDefault()); // keep the focus
		this.list.addEventListener("click", (e) => {
			const i = [...this.list.children].indexOf(e.target.closest("li"));
			if (i >= 0) this.#take(this.#options[i]);
		});
		this.#paint();
	}

	get value() { return this.textarea.value; }

	set value(text) {
		this.textarea.value = text;
		this.clear();
	}

	// fail shows what is wrong, at its place if the message tells one.
	fail(message) { this.#report([message], "wrong"); }

	// warn shows warnings and infos.
	warn(list) { this.#report(list, "warning"); }

	clear() {
		this.problem.replaceChildren();
		this.textarea.removeAttribute("aria-invalid");
		this.#marks = [];
		this.#paint();
	}

	#report(list, cls) {
		if (cls === "wrong") {
			this.problem.replaceChildren();
			this.#marks = [];
			this.textarea.setAttribute("aria-invalid", "true");
		}
		for (const message of list) {
			const [, line, column] = /(?:: |\()(\d+):(\d+)(?::|\)$)/.exec(message) ?? [];
			if (line) this.#marks.push({ at: offset(this.value, Number(line), Number(column)), cls });
			const text = message.replace(/^invalid parameter "query": /, "");
			this.problem.append(element("p", { className: cls }, text));
		}
		this.#paint();
	}

	// #paint colours the copy.
	#paint() {
		const text = this.value;
		const nodes = [];
		const marks = [...this.#marks];
		for (const t of scan(text)) {
			const mark = marks.findIndex((m) => t.from <= m.at && m.at < t.to);
			const cls = mark >= 0 ? `${t.cls} mark ${marks.splice(mark, 1)[0].cls}` : t.cls;
			nodes.push(element("span", { className: cls }, t.text));
		}
		// What is wrong may be that nothing follows.
		nodes.push(marks.length ? element("span", { className: `mark ${marks[0].cls}` }, "\u2007") : "");
		this.over.replaceChildren(...nodes, "\n");
	}

	#input() {
		this.clear();
		this.changed?.();
		if (!this.#quiet) this.complete(false);
	}

	#moved() {
		const { selectionStart: caret } = this.textarea;
		if (this.#open && (caret < this.#at.from || caret > Math.max(this.#at.to, this.#at.from + this.#at.prefix.length + 1))) this.close();
		let frame = place(this.value, caret).frame;
		while (frame && !(frame.open === "(" && frame.head?.cls === "function")) frame = frame.up;
		const name = frame?.head.text;
		const f = functions.get(name) ?? aggregations.get(name?.toLowerCase());
		this.hint.textContent = f && document.activeElement === this.textarea ? `${f.signature}: ${f.doc}` : "";
	}

	// complete looks for what can stand at the caret. Unless it was asked for, it needs
	// something typed, or a place where little can stand.
	async complete(explicit) {
		clearTimeout(this.#timer);
		this.#asking?.abort();
		const { selectionStart: caret, selectionEnd: end } = this.textarea;
		const at = place(this.value, caret);
		const narrow = ["name", "value", "duration"].includes(at.kind);
		if (caret !== end || at.kind === "none" || (!explicit && !at.prefix && !(narrow && (at.quote || "{([,".includes(this.value[caret - 1]))))) {
			this.close();
			return;
		}
		const mine = this.#asking = new AbortController();
		// What was found for the letters before serves until the answer is there.
		const found = this.#open && this.#at.from === at.from && this.#at.kind === at.kind ? this.#options.filter((o) => ["metric", "label", "value"].includes(o.kind)) : [];
		const local = rank([...fixed(at), ...found], at.prefix);
		this.#show(at, local, explicit);
		if (!["expr", "name", "value"].includes(at.kind)) return;
		try {
			await new Promise((resolve) => { this.#timer = setTimeout(resolve, explicit ? 0 : pause); });
			if (mine.signal.aborted) return;
			const fresh = await lookup(at, { ...this.window(), signal: mine.signal });
			if (mine.signal.aborted) return;
			// With nothing typed the metrics come first: the functions are known.
			this.#show(at, rank(at.prefix ? [...fixed(at), ...fresh] : [...fresh, ...fixed(at)], at.prefix), explicit);
		} catch {
			// A list less. What is wrong with the query it says when it is run.
		}
	}

	#show(at, list, explicit) {
		const options = list.slice(0, mostShown);
		if (options.length === 0 || (!explicit && options.length === 1 && options[0].text === at.prefix)) {
			this.close(true);
			return;
		}
		const before = this.#open && this.#options[this.#active]?.text;
		const kept = this.#moves ? options.findIndex((o) => o.text === before) : -1;
		this.#at = at;
		this.#options = options;
		this.list.replaceChildren(...options.map((o, i) => {
			const li = element("li", { id: `${this.list.id}-${i}`, role: "option", ariaSelected: "false" },
				element("span", { className: `text ${o.kind}` }, o.text || '""'), element("span", { className: "kind" }, o.kind));
			return li;
		}));
		this.#open = true;
		this.popup.hidden = false;
		this.#move(Math.max(0, kept));
		this.#put(at.from);
		this.textarea.setAttribute("aria-expanded", "true");
		this.spoken.textContent = `${options.length} completions`;
	}

	#moves = false; // an arrow was pressed

	// #put places the list under what it completes.
	#put(from) {
		let left = 0, top = this.textarea.clientHeight, at = 0;
		for (const span of this.over.children) {
			const length = span.textContent.length;
			if (at + length > from && from >= at && span.firstChild) {
				const range = document.createRange();
				range.setStart(span.firstChild, from - at);
				range.setEnd(span.firstChild, from - at + 1);
				const [box, own] = [range.getClientRects()[0], this.over.getBoundingClientRect()];
				if (box) [left, top] = [box.left - own.left, box.bottom - own.top];
				break;
			}
			at += length;
			const [last, own] = [span.getClientRects(), this.over.getBoundingClientRect()];
			if (at === from && last.length) [left, top] = [last[last.length - 1].right - own.left, last[last.length - 1].bottom - own.top];
		}
		left = Math.max(0, Math.min(left - 12, this.textarea.clientWidth - this.popup.offsetWidth));
		this.popup.style.left = `${left}px`;
		this.popup.style.top = `${top + 4}px`;
	}

	close(keepAsking = false) {
		if (!keepAsking) {
			clearTimeout(this.#timer);
			this.#asking?.abort();
		}
		this.#moves = false;
		if (!this.#open) return;
		this.#open = false;
		this.popup.hidden = true;
		this.textarea.setAttribute("aria-expanded", "false");
		this.textarea.removeAttribute("aria-activedescendant");
		this.spoken.textContent = "";
	}

	#move(to) {
		const rows = this.list.children;
		rows[this.#active]?.setAttribute("aria-selected", "false");
		this.#active = (to + rows.length) % rows.length;
		const row = rows[this.#active];
		row.setAttribute("aria-selected", "true");
		row.scrollIntoView({ block: "nearest" });
		this.textarea.setAttribute("aria-activedescendant", row.id);
		this.#describe(this.#options[this.#active]);
	}

	async #describe(option) {
		const say = (head, text) => {
			this.detail.replaceChildren(...(head ? [element("b", {}, head)] : []), ...(text ? [element("span", {}, text)] : []));
			this.detail.hidden = !head && !text;
		};
		if (option.kind !== "metric") {
			say(option.signature ?? "", option.help ?? "");
			return;
		}
		say("", "");
		await new Promise((resolve) => { setTimeout(resolve, 80); });
		if (this.#options[this.#active] !== option || !this.#open) return;
		const meta = await help(option.text);
		if (this.#options[this.#active] !== option || !this.#open || !meta) return;
		say([meta.type, meta.unit].filter(Boolean).join(", "), meta.help);
		this.spoken.textContent = `${meta.type}: ${meta.help}`;
	}

	#key(e) {
		if (e.isComposing) return;
		if ((e.ctrlKey || e.metaKey) && e.key === "Enter") {
			e.preventDefault();
			this.close();
			this.run();
			return;
		}
		if (e.ctrlKey && (e.key === " " || e.code === "Space")) {
			e.preventDefault();
			this.complete(true);
			return;
		}
		if (e.ctrlKey || e.metaKey || e.altKey) return;
		if (this.#open) {
			const option = this.#options[this.#active];
			const jump = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[e.key];
			if (jump) {
				const last = this.#options.length - 1;
				this.#moves = true;
				this.#move(Math.abs(jump) === 1 ? this.#active + jump : Math.max(0, Math.min(last, this.#active + jump)));
			} else if (e.key === "Escape") this.close();
			else if (e.key === "Tab" && !e.shiftKey) this.#take(option);
			else if (e.key === "Enter" && !e.shiftKey && (this.#moves || option.text !== this.#at.prefix)) this.#take(option);
			else if (e.key === "Enter" && !e.shiftKey) {
				this.close();
				this.run();
			} else return;
			e.preventDefault();
		} else if (e.key === "Enter" && !e.shiftKey) {
			e.preventDefault();
			this.close();
			this.run();
		} else if (e.key === "Backspace") this.#unpair(e);
	}

	// #write puts text in place of a part, so that it can be undone.
	#write(text, from, to, caret) {
		this.#quiet = true;
		this.textarea.focus();
		this.textarea.setSelectionRange(from, to);
		if (!document.execCommand(text ? "insertText" : "delete", false, text)) {
			this.textarea.setRangeText(text, from, to, "end");
			this.#input();
		}
		this.textarea.setSelectionRange(caret, caret);
		this.#quiet = false;
	}

	// #pair closes what is opened, and steps over what is closed already.
	#pair(e) {
		if (this.#quiet || e.inputType !== "insertText" || e.data?.length !== 1) return;
		const { selectionStart: from, selectionEnd: to } = this.textarea;
		const next = this.value[from] ?? "";
		if (from !== to) return;
		const inString = place(this.value, from).quote;
		if (next === e.data && (inString ? inString === e.data : ")]}".includes(next) && this.#balanced())) {
			e.preventDefault();
			this.textarea.setSelectionRange(from + 1, from + 1);
			this.close();
		} else if (pairs[e.data] && !inString && (next === "" || /[\s)\]},]/.test(next))) {
			e.preventDefault();
			this.#write(e.data + pairs[e.data], from, to, from + 1);
			this.complete(false);
		}
	}

	#balanced() {
		return !scan(this.value).at(-1)?.after;
	}

	#unpair(e) {
		const { selectionStart: from, selectionEnd: to } = this.textarea;
		if (from !== to || from === 0 || pairs[this.value[from - 1]] !== this.value[from]) return;
		e.preventDefault();
		this.#write("", from - 1, from + 1, from - 1);
	}

	// #take puts a candidate in.
	#take(option) {
		const at = this.#at;
		const text = this.value;
		const to = at.to;
		const rest = text.slice(to);
		const quoted = (s) => (at.quote === "'" ? `'${JSON.stringify(s).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'` : JSON.stringify(s));
		let insert = option.insert ?? option.text;
		let caret, again = false;
		switch (option.kind) {
		case "function": case "aggregation":
			if (!/^\s*\(/.test(rest)) {
				insert += "()";
				caret = insert.length - (option.signature?.includes("()") ? 0 : 1);
			}
			break;
		case "keyword":
			// Behind an aggregation the brackets may be of what it aggregates.
			if (["by", "without", "on", "ignoring"].includes(option.text) && !(at.kind === "group" ? /^\s*\([^()]*\)\s*\(/ : /^\s*\(/).test(rest)) {
				insert = `${option.text} ()`;
				caret = insert.length - 1;
				again = true;
			} else if (rest.startsWith(" ")) insert = option.text;
			break;
		case "metric":
			if (at.frame?.open === "{") insert = quoted(option.text);
			else if (!plain(option.text)) insert = `{${quoted(option.text)}}`;
			break;
		case "label":
			if (at.quote || !plainLabel(option.text)) insert = quoted(option.text);
			if (at.frame?.open === "{" && !/^\s*[=!]/.test(rest)) {
				insert += '=""';
				caret = insert.length - 1;
				again = true;
			}
			break;
		case "value":
			insert = at.inner ? JSON.stringify(literal(option.text)).slice(1, -1) : quoted(option.text);
			break;
		case "duration":
			if (at.frame?.open === "[" && !rest.startsWith("]")) insert += "]";
			else if (at.frame?.open === "[") caret = insert.length + 1;
			break;
		}
		this.close();
		this.#write(insert, at.from, to, at.from + (caret ?? insert.length));
		this.#moved();
		if (again) this.complete(false);
	}
}
