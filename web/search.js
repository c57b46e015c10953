// Search: words and fields, with completion. The Console understands the query; this only helps to write it.
import { h } from "./dom.js";

const FIELDS = {
  "src:": "source address or network, 10.1.4.0/24",
  "kind:": "what was done, ssh",
  "is:": "open or acknowledged",
  "user:": "user name that was tried",
  "bird:": "bird or token, by name",
  "since:": "something happened in the last 30m, 2h, 7d",
  "until:": "opened before then",
};
const VALUES = { "is:": ["open", "acknowledged"], "since:": ["30m", "2h", "24h", "7d", "30d"] };

/** The search box. `kinds` and `birds` feed the completion; `go(query)` is called on Enter. */
export function searchBox({ kinds, birds, go }) {
  const input = h("input", { id: "search", type: "search", maxlength: 500, placeholder: "Search: words, src:10.1.4.0/24 kind:ssh is:open", autocomplete: "off", spellcheck: "false", role: "combobox", "aria-label": "Search incidents", "aria-expanded": "false", "aria-controls": "completions", "aria-autocomplete": "list" });
  const menu = h("ul", { id: "completions", role: "listbox", "aria-label": "Completions", hidden: true });
  let options = [], chosen = -1;

  function word() {
    const before = input.value.slice(0, input.selectionStart);
    return before.slice(before.lastIndexOf(" ") + 1);
  }
  function suggest() {
    const typed = word();
    const field = Object.keys(FIELDS).find((name) => typed.startsWith(name));
    const list = field === "kind:" ? kinds() : field === "bird:" ? birds() : VALUES[field] ?? [];
    options = field
      ? list.filter((v) => v.toLowerCase().startsWith(typed.slice(field.length).toLowerCase()) && v !== typed.slice(field.length)).slice(0, 12).map((v) => [`${field}${/\s/.test(v) ? `"${v}"` : v} `, ""])
      : Object.entries(FIELDS).filter(([name]) => name.startsWith(typed));
    chosen = -1;
    draw();
  }
  function draw() {
    menu.replaceChildren(...options.map(([text, what], i) => h("li", { role: "option", id: `completion-${i}`, "aria-selected": String(i === chosen), onpointerdown: (event) => { event.preventDefault(); take(i); } }, h("bdi", {}, text), h("span", { class: "soft small" }, what))));
    menu.hidden = options.length === 0 || document.activeElement !== input;
    input.setAttribute("aria-expanded", String(!menu.hidden));
    if (chosen >= 0) input.setAttribute("aria-activedescendant", `completion-${chosen}`);
    else input.removeAttribute("aria-activedescendant");
  }
  function take(i) {
    const at = input.selectionStart, typed = word();
    input.setRangeText(options[i][0], at - typed.length, at, "end");
    suggest();
  }
  input.addEventListener("input", suggest);
  input.addEventListener("focus", suggest);
  input.addEventListener("blur", () => { menu.hidden = true; input.setAttribute("aria-expanded", "false"); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const size = options.length || 1;
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + size + (chosen < 0 && event.key === "ArrowUp" ? 1 : 0)) % size;
      draw();
    } else if (event.key === "Tab" && chosen >= 0 && !menu.hidden) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (chosen >= 0 && !menu.hidden) take(chosen);
      else { menu.hidden = true; input.setAttribute("aria-expanded", "false"); go(input.value.trim()); }
    } else if (event.key === "Escape" && !menu.hidden) {
      event.stopPropagation();
      menu.hidden = true;
    }
  });
  input.addEventListener("search", () => { if (input.value === "") go(""); });
  return h("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); go(input.value.trim()); } }, input, menu);
}

/** `query` with `since:` and `until:` replaced by this window (or taken away). */
export function withWindow(query, from, to) {
  const rest = query.split(/\s+/).filter((w) => w && !/^(since|until):/.test(w));
  const minute = (ms) => `${new Date(ms).toISOString().slice(0, 16)}Z`;
  if (from !== null) rest.push(`since:${minute(from)}`, `until:${minute(to + 59_999)}`);
  return rest.join(" ");
}

/** The window that `query` asks for in absolute times, or null. */
export function windowOf(query) {
  const from = /(?:^|\s)since:(\S+Z)/.exec(query), to = /(?:^|\s)until:(\S+Z)/.exec(query);
  return from && to ? [Date.parse(from[1]), Date.parse(to[1])] : null;
}
