// The tokens that are placed: a line each, those that were touched last first.
import { announce, failure, h, redraw } from "./dom.js";
import { get, page } from "./api.js";
import { keys } from "./keys.js";
import { onChange, single } from "./live.js";
import { inert } from "./text.js";
import { time } from "./time.js";

export const title = "Tokens";

// As the Console answers: tokens at once, and those at once for who has many already.
const PART = 50, MOST = 1000;

/** Whether a token alerts, in a word. */
export const state = (enabled) => h("span", { class: enabled ? "state on" : "state" }, enabled ? "Armed" : "Switched off");

/** `Touched once`, `Touched 3 times`. */
export const touched = (n) => (n === 0 ? "Never touched" : n === 1 ? "Touched once" : `Touched ${n} times`);

/** Mounts the view. */
export function open(root, address, { go }) {
  let kinds = {}, asked = null, skip = 0, fresh = 0, late = false, closed = false, control = null, wait = null;
  // By id: the line and what it shows.
  const rows = new Map();
  const choice = (id, label, options) => h("p", {}, h("label", { for: id }, label), h("select", { id, onchange: search }, options.map(([value, text]) => h("option", { value }, text))));
  const words = h("input", { id: "q", type: "search", autocomplete: "off", placeholder: "Words of the reminder, or an id", oninput: () => { clearTimeout(wait); wait = setTimeout(search, 250); } });
  const filters = h("form", { class: "filters", role: "search", "aria-label": "Tokens", onsubmit: (event) => { event.preventDefault(); search(); } },
    h("p", {}, h("label", { for: "q" }, "Search"), words), choice("kind", "Kind", [["", "All kinds"]]),
    choice("state", "State", [["", "All"], ["on", "Armed"], ["off", "Switched off"]]),
    choice("sort", "Order", [["", "Touched last"], ["hits", "Touched most"], ["changed", "Changed last"]]));
  const list = h("ol", { class: "rows", "aria-label": "Tokens" }), note = h("div"), count = h("p", { class: "soft small" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "Load more");
  const pill = h("button", { type: "button", class: "pill", hidden: true, onclick: showFresh });
  root.replaceChildren(h("div", { class: "page" },
    h("header", {}, h("h1", {}, "Tokens"), h("a", { class: "button first", href: "/tokens/new", "data-inside": true }, "Place a new one")),
    filters, h("section", {}, count, note, h("div", {}, pill, list), h("p", {}, more))));

  function search() {
    clearTimeout(wait);
    const set = ["q", "kind", "state", "sort"].map((name) => [name, filters.elements[name].value.trim()]).filter(([, value]) => value);
    go(`/tokens${set.length ? `?${new URLSearchParams(set)}` : ""}`, true);
  }

  async function load(restart = false) {
    control?.abort();
    const mine = control = new AbortController();
    try {
      const answer = await page("tokens", { sort: "last", ...asked, skip: restart ? 0 : skip }, mine.signal);
      if (closed) return;
      if (restart) { rows.clear(); list.replaceChildren(); tell(0); }
      for (const token of answer.tokens) {
        if (rows.has(token.id)) continue;
        const node = h("li", { class: "row" });
        rows.set(token.id, { node, token });
        fill(node, token);
        list.append(node);
      }
      skip = answer.skip;
      sum(answer);
      note.replaceChildren(answer.total ? "" : nothing());
      if (restart) announce(count.textContent || "No token.");
    } catch (error) {
      if (!closed && error.name !== "AbortError") note.replaceChildren(failure("The tokens could not be loaded.", error, () => load(restart)));
    }
    if (control !== mine) return;
    control = null;
    if (late) refresh();
  }

  function sum({ total }) {
    more.hidden = skip === null;
    count.textContent = total ? `${total} token${total === 1 ? "" : "s"}` : "";
  }

  /** New ones wait to be asked for: nothing moves under the reader. */
  function tell(n) {
    pill.hidden = n === 0;
    // Where not all are listed, one that is not new may have come up by a touch.
    pill.textContent = skip === null ? `${n} new` : `${n} new or moved up`;
    if (n > fresh) announce(`Tokens: ${pill.textContent}.`);
    fresh = n;
  }

  async function showFresh() {
    await load(true);
    scrollTo(0, 0);
    list.querySelector("a")?.focus({ preventScroll: true });
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
      h("span", { class: "meta" }, token.gone ? h("b", {}, token.gone) : state(token.enabled), h("span", {}, kinds[token.kind] ?? token.kind), h("span", {}, "made ", time(token.created))),
      h("span", { class: "side" }, h("span", {}, touched(token.hits)), token.last && h("span", {}, "last ", time(token.last)))));
  }

  function change(known, token) {
    if (JSON.stringify(known.token) === JSON.stringify(token)) return;
    known.token = token;
    redraw(known.node, () => fill(known.node, known.token));
  }

  /** What changed is redrawn where it stands, also what is gone; what is new waits. */
  const refresh = single(async () => {
    // What is being loaded may be older than the change.
    late = control !== null;
    if (late || asked === null) return;
    const filter = asked, size = rows.size, many = size + PART;
    let answer;
    try {
      answer = await page("tokens", { sort: "last", ...filter, many });
    } catch {
      return; // The banner tells that the Console is out of reach.
    }
    if (closed) return;
    // Another list is there or on its way.
    if (control || filter !== asked || size !== rows.size) return refresh();
    if (size === 0 && answer.total) return load(true);
    const there = new Set(), end = answer.tokens.findLastIndex((token) => rows.has(token.id));
    let n = 0;
    answer.tokens.forEach((token, i) => {
      there.add(token.id);
      const known = rows.get(token.id);
      if (known) change(known, token);
      // Behind the last that is listed stand those that were not loaded yet.
      else if (i < end || skip === null) n += 1;
    });
    // Each that is still there is in the answer, unless so many came before it that it had no room.
    if (n < PART && many <= MOST) for (const [id, known] of rows) if (!there.has(id)) change(known, { ...known.token, gone: Object.keys(filter).length ? "Not in this list any more" : "Deleted" });
    if (skip !== null && many <= MOST) skip = end + 1;
    sum(answer);
    tell(n);
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
  const quiet = onChange(refresh, "tokens");
  get("canarytokens/list").then(({ canarytokens }) => {
    kinds = canarytokens;
    filters.elements.kind.append(...Object.entries(kinds).sort((a, b) => a[1].localeCompare(b[1])).map(([value, text]) => h("option", { value }, text)));
  }, () => {}).then(() => { if (!closed) update(new URL(location.href)); });
  return { update, close() { closed = true; clearTimeout(wait); forget(); quiet(); } };
}
