// The tokens that are placed: a line each, those that were touched last first.
import { announce, failure, h } from "./dom.js";
import { get, page } from "./api.js";
import { keys } from "./keys.js";
import { onChange, single } from "./live.js";
import { inert } from "./text.js";
import { time } from "./time.js";

export const title = "Tokens";

/** Whether a token alerts, in a word. */
export const state = (enabled) => h("span", { class: enabled ? "state on" : "state" }, enabled ? "Armed" : "Switched off");

/** `Touched once`, `Touched 3 times`. */
export const touched = (n) => (n === 0 ? "Never touched" : n === 1 ? "Touched once" : `Touched ${n} times`);

/** Mounts the view. */
export function open(root, address, { go }) {
  let kinds = {}, asked = {}, skip = 0, closed = false, control = null, wait = null;
  const rows = new Map();
  const choice = (id, label, options) => h("p", {}, h("label", { for: id }, label), h("select", { id, onchange: search }, options.map(([value, text]) => h("option", { value }, text))));
  const words = h("input", { id: "q", type: "search", autocomplete: "off", placeholder: "Words of the reminder, or an id", oninput: () => { clearTimeout(wait); wait = setTimeout(search, 250); } });
  const filters = h("form", { class: "filters", role: "search", "aria-label": "Tokens", onsubmit: (event) => { event.preventDefault(); search(); } },
    h("p", {}, h("label", { for: "q" }, "Search"), words), choice("kind", "Kind", [["", "All kinds"]]),
    choice("state", "State", [["", "All"], ["on", "Armed"], ["off", "Switched off"]]),
    choice("sort", "Order", [["", "Touched last"], ["hits", "Touched most"], ["changed", "Changed last"]]));
  const list = h("ol", { class: "rows", "aria-label": "Tokens" }), note = h("div"), count = h("p", { class: "soft small" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "Load more");
  root.replaceChildren(h("div", { class: "page" },
    h("header", {}, h("h1", {}, "Tokens"), h("a", { class: "button first", href: "/tokens/new", "data-inside": true }, "Place a new one")),
    filters, h("section", {}, count, note, list, h("p", {}, more))));

  function search() {
    clearTimeout(wait);
    const set = ["q", "kind", "state", "sort"].map((name) => [name, filters.elements[name].value.trim()]).filter(([, value]) => value);
    go(`/tokens${set.length ? `?${new URLSearchParams(set)}` : ""}`, true);
  }

  async function load(restart = false) {
    control?.abort();
    control = new AbortController();
    try {
      const answer = await page("tokens", { sort: "last", ...asked, skip: restart ? 0 : skip }, control.signal);
      if (closed) return;
      if (restart) { rows.clear(); list.replaceChildren(); }
      for (const token of answer.tokens) {
        if (rows.has(token.id)) continue;
        const node = h("li", { class: "row" });
        rows.set(token.id, node);
        fill(node, token);
        list.append(node);
      }
      skip = answer.skip;
      more.hidden = skip === null;
      count.textContent = answer.total ? `${answer.total} token${answer.total === 1 ? "" : "s"}` : "";
      note.replaceChildren(answer.total ? "" : nothing());
      if (restart) announce(count.textContent || "No token.");
    } catch (error) {
      if (!closed && error.name !== "AbortError") note.replaceChildren(failure("The tokens could not be loaded.", error, () => load(restart)));
    }
  }

  function nothing() {
    if (Object.keys(asked).length) return h("div", { class: "empty" }, h("h2", {}, "Nothing matches"), h("p", {}, "No token fits this search."), h("p", {}, h("a", { class: "button", href: "/tokens", "data-inside": true }, "Show all tokens")));
    return h("div", { class: "empty" }, h("h2", {}, "No token yet"),
      h("p", {}, "A token is a thing that nobody has a reason to touch: a document, a key, an address. Whoever does has been where they should not be, and you are told at once."),
      h("p", {}, "Good places: a file share, a wiki page, a mailbox, a password store, the home folder of an administrator."),
      h("p", {}, h("a", { class: "button first", href: "/tokens/new", "data-inside": true }, "Place the first one")));
  }

  function fill(node, token) {
    node.className = token.open ? "row unread" : "row";
    node.replaceChildren(h("a", { href: `/tokens/${token.id}`, "data-inside": true },
      h("span", { class: "sentence" }, inert(token.memo.length > 200 ? `${token.memo.slice(0, 200)}…` : token.memo), token.open ? h("span", { class: "unseen" }, " (touched, not acknowledged)") : null),
      h("span", { class: "meta" }, state(token.enabled), h("span", {}, kinds[token.kind] ?? token.kind), h("span", {}, "made ", time(token.created))),
      h("span", { class: "side" }, h("span", {}, touched(token.hits)), token.last && h("span", {}, "last ", time(token.last)))));
  }

  /** What changed is redrawn where it stands; nothing moves under the reader. */
  const refresh = single(async () => {
    const filter = asked;
    try {
      const answer = await page("tokens", { sort: "last", ...filter });
      if (closed || filter !== asked) return;
      if (answer.tokens.some((token) => !rows.has(token.id)) && scrollY < 40 && !list.contains(document.activeElement)) return load(true);
      for (const token of answer.tokens) {
        const node = rows.get(token.id);
        if (!node) continue;
        const focused = node.contains(document.activeElement);
        fill(node, token);
        if (focused) node.firstChild.focus({ preventScroll: true });
      }
    } catch { /* The banner tells that the Console is out of reach. */ }
  });

  function step(by) {
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, at < 0 ? 0 : at + by))]?.focus();
    if (by > 0 && at >= links.length - 5 && skip !== null && !more.hidden) load();
  }

  function update(url) {
    const fresh = Object.fromEntries([...url.searchParams].filter(([name, value]) => value && ["q", "kind", "state", "sort"].includes(name)));
    if (JSON.stringify(fresh) === JSON.stringify(asked) && rows.size) return;
    asked = fresh;
    for (const name of ["q", "kind", "state", "sort"]) {
      const box = filters.elements[name];
      if (box.value.trim() !== (asked[name] ?? "")) box.value = asked[name] ?? "";
    }
    load(true);
  }

  const forget = keys({
    j: ["Next token", () => step(1)],
    k: ["Previous token", () => step(-1)],
    "/": ["Search", () => words.focus()],
    n: ["Place a new token", () => go("/tokens/new")],
  });
  const quiet = onChange(refresh);
  get("canarytokens/list").then(({ canarytokens }) => {
    kinds = canarytokens;
    filters.elements.kind.append(...Object.entries(kinds).sort((a, b) => a[1].localeCompare(b[1])).map(([value, text]) => h("option", { value }, text)));
  }, () => {}).then(() => { if (!closed) update(new URL(location.href)); });
  return { update, close() { closed = true; clearTimeout(wait); forget(); quiet(); } };
}
