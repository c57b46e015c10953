// The incidents: list and open incident side by side, new ones arriving without moving what is read.
import { announce, entitle, failure, h, redraw, toast } from "./dom.js";
import { page, post } from "./api.js";
import { spark, histogram } from "./charts.js";
import { keys } from "./keys.js";
import { onChange, single } from "./live.js";
import { openIncident } from "./incident.js";
import { searchBox, windowOf, withWindow } from "./search.js";
import { inert } from "./text.js";
import { going, span, time } from "./time.js";

export const title = "Incidents";

/** What is listed when the address asks for nothing else. */
const USUAL = "is:open";
const DAY_STEP = 15 * 60_000;

/** Mounts the view. `go(address)` navigates. */
export function open(root, address, { go, setOpen }) {
  const rows = new Map();
  // `newest` is null until a list is there that changes can be asked for.
  let query = null, cursor = null, newest = null, current = null, detail = null, loading = null, late = false, failed = false, waiting = [], told = 0, closed = false;
  const looked = Number(localStorage.getItem("looked") ?? 0);
  let kinds = [], birds = [];

  const strip = h("div", { class: "strip" });
  const pill = h("button", { type: "button", class: "pill", hidden: true, onclick: showWaiting });
  const list = h("ol", { class: "rows", "aria-label": "Incidents" });
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => load() }, "Load older ones");
  const note = h("div");
  const search = searchBox({ kinds: () => kinds, birds: () => birds, go: (q) => go(href(null, q)) });
  const tabs = h("nav", { class: "tabs", "aria-label": "Which incidents" });
  const side = h("section", { class: "detail", "aria-label": "Incident", tabindex: "-1", hidden: true });
  const listBox = h("section", { class: "list", "aria-label": "List of incidents" },
    h("header", {}, h("div", { class: "top" }, h("h1", {}, "Incidents"), tabs, h("span", { class: "soft small" }, h("kbd", {}, "?"), " keys")), search, strip),
    pill, note, list, more);
  const frame = h("div", { class: "incidents" }, listBox, side);
  root.replaceChildren(frame);

  const sentinel = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && cursor !== null && !failed && load(), { rootMargin: "800px" });
  sentinel.observe(more);

  // ---- list
  function href(hash, q = query) {
    const search = q === USUAL ? "" : `?${new URLSearchParams({ q })}`;
    return hash ? `/incidents/${hash}${search}` : `/${search}`;
  }

  async function load(restart = false) {
    if (closed || (loading && !restart)) return;
    loading?.abort();
    const control = new AbortController();
    loading = control;
    if (restart) newest = null;
    failed = false;
    more.textContent = rows.size && !restart ? "Load older ones" : "Looking further back…";
    try {
      const answer = await page("rows", { q: query, cursor: restart ? null : cursor }, control.signal);
      if (closed || loading !== control) return;
      if (restart) clear();
      // One that changed meanwhile waits as it is now.
      for (const row of answer.rows) if (!waiting.some((w) => w.hash === row.hash)) add(row);
      cursor = answer.cursor;
      if (restart) newest = answer.newest;
      note.replaceChildren(...(answer.problems ?? []).map((text) => h("p", { class: "notice" }, text)));
      if (rows.size === 0 && cursor === null) note.append(nothing());
      more.hidden = cursor === null;
      more.textContent = rows.size ? "Load older ones" : "Looking further back…";
      setOpen(answer.open);
      if (restart) announce(`${rows.size}${cursor === null ? "" : " or more"} incidents listed.`);
      mark();
    } catch (error) {
      if (closed || loading !== control) return;
      failed = true;
      if (restart) clear();
      more.textContent = "Load older ones";
      note.replaceChildren(failure("The incidents could not be loaded.", error, () => load(restart)));
    }
    if (loading !== control) return;
    loading = null;
    if (failed) return;
    if (late) refresh();
    // A search that looks far back answers with little at a time. A list that isn't shown needs no more.
    const box = more.getBoundingClientRect();
    if (cursor !== null && box.height > 0 && box.top < innerHeight + 400) load();
  }

  function clear() {
    rows.clear();
    list.replaceChildren();
    cursor = null;
    more.hidden = true;
    waiting = [];
    showPill();
    listBox.scrollTop = 0;
  }

  function nothing() {
    if (query === USUAL) return h("div", { class: "empty" }, h("h2", {}, "Silence is good."), h("p", {}, "Nobody has touched a bird or a token, or all that happened is acknowledged. To see an incident, run ", h("code", {}, "coalmine poke"), ": it does what an intruder would do, and the incident appears here within a second."), h("p", {}, h("button", { type: "button", onclick: () => go(href(null, "")) }, "Show acknowledged ones too")));
    if (query) return h("div", { class: "empty" }, h("h2", {}, "Nothing matches"), h("p", {}, "No incident matches this search."), h("p", {}, h("button", { type: "button", onclick: () => go(href(null, "")) }, "Show all incidents")));
    return h("div", { class: "empty" }, h("h2", {}, "Silence is good."), h("p", {}, "Nobody has touched a bird or a token yet. To see an incident, run ", h("code", {}, "coalmine poke"), "."), h("p", { class: "soft" }, "It does what an intruder would do, and the incident appears here within a second."));
  }

  function add(row, before = null) {
    if (rows.has(row.hash)) return;
    const node = h("li", { class: "row" });
    rows.set(row.hash, { row, node });
    fill(node, row);
    list.insertBefore(node, before);
  }

  function fill(node, row) {
    node.className = row.open ? "row unread" : "row";
    const link = h("a", { href: href(row.hash), "data-hash": row.hash, "aria-current": row.hash === current ? "true" : null },
      h("span", { class: "sentence" }, sentence(row), row.open ? h("span", { class: "unseen" }, " (not acknowledged)") : null),
      h("span", { class: "meta" }, row.reverse && inert(row.reverse), h("bdi", {}, row.flock), row.events > 1 && h("span", {}, `lasted ${span(row.last - row.created)}`)),
      h("span", { class: "side" }, row.events > 1 ? going(row.last) : time(row.last), row.events > 1 && spark(row.spark)));
    link.addEventListener("click", (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(href(row.hash));
    });
    node.replaceChildren(link);
  }

  function mark() {
    for (const [hash, { node }] of rows) {
      if (hash === current) node.firstChild.setAttribute("aria-current", "true");
      else node.firstChild.removeAttribute("aria-current");
    }
  }

  // ---- live
  const changes = single(async () => {
    if (newest === null) {
      // What is being loaded may be older than the change; what failed is tried again.
      late = true;
      if (!loading) load(true);
      return;
    }
    late = false;
    const asked = query, after = newest;
    let answer;
    try {
      answer = await page("rows", { q: asked, after });
    } catch {
      return; // The banner tells that the Console is out of reach.
    }
    // Another list is loaded or being loaded: these rows are not of it.
    if (closed || asked !== query || after !== newest) return;
    newest = Math.max(newest, answer.newest);
    const fresh = [];
    for (const row of answer.rows) {
      const known = rows.get(row.hash);
      if (known) {
        if (known.row.updated_id > row.updated_id) continue;
        known.row = row;
        redraw(known.node, () => fill(known.node, known.row));
      } else {
        if (row.listed && row.open && !waiting.some((w) => w.hash === row.hash)) fresh.push(`${row.source} ${row.did} ${row.place}`);
        waiting = waiting.filter((w) => w.hash !== row.hash);
        if (row.listed) waiting.push(row);
      }
      if (row.hash === current) detail?.refresh();
    }
    showPill();
    setOpen(answer.open, fresh);
    if (answer.more) changes();
  });

  function refresh() {
    drawStrip();
    return changes();
  }

  function showPill() {
    pill.hidden = waiting.length === 0;
    pill.textContent = `${waiting.length} new`;
    if (waiting.length > told) announce(`${waiting.length} new incident${waiting.length === 1 ? "" : "s"}.`);
    told = waiting.length;
    if (rows.size === 0 && waiting.length) showWaiting();
  }

  function showWaiting() {
    note.replaceChildren();
    for (const row of waiting.sort((a, b) => a.updated_id - b.updated_id)) add(row, list.firstChild);
    waiting = [];
    showPill();
    listBox.scrollTop = 0;
    mark();
  }

  // ---- strip
  const drawStrip = single(async () => {
    let facts;
    try {
      facts = await page("strip", { looked });
    } catch {
      return;
    }
    // What is being dragged must not go away.
    if (closed || strip.matches(":active")) return;
    kinds = facts.kinds;
    birds = facts.names;
    strip.replaceChildren(
      histogram({ buckets: facts.buckets, step: DAY_STEP, label: "Events in the last 24 hours", chosen: windowOf(query), select: (from, to) => go(href(null, withWindow(query, from, to))), zoomOut: () => windowOf(query) && go(href(null, withWindow(query, null))) }),
      h("p", { class: "facts" },
        h("span", {}, `${facts.birds_up} bird${facts.birds_up === 1 ? "" : "s"} up`),
        h("span", { class: facts.birds_down ? "loss" : null }, facts.birds_down ? `${facts.birds_down} down` : "none down"),
        h("span", {}, `${facts.new} new since you last looked`)));
  });

  // ---- detail
  function show(hash) {
    if (hash === current) return;
    const was = current, narrow = matchMedia("(max-width: 60rem)").matches;
    const inside = side.contains(document.activeElement);
    detail?.close();
    detail = null;
    current = hash;
    frame.classList.toggle("open", hash !== null);
    side.hidden = hash === null;
    mark();
    if (hash === null) {
      entitle(title);
      side.replaceChildren();
      // The keyboard goes on where the incident was opened.
      if (narrow || inside) (rows.get(was)?.node.firstChild ?? root).focus();
      return;
    }
    detail = openIncident(side, hash, { close: () => go(href(null)), href, go, sentence, changed: refresh, gone: (gone) => { rows.get(gone)?.node.remove(); rows.delete(gone); } });
    if (narrow || inside) side.focus({ preventScroll: true });
    if (narrow) scrollTo(0, 0);
  }

  function step(by) {
    const hashes = [...rows.keys()];
    const order = [...list.children].map((node) => node.firstChild.dataset.hash);
    const focused = document.activeElement?.dataset?.hash ?? current;
    const at = order.indexOf(focused);
    const next = order[Math.min(order.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (!next) return;
    const link = rows.get(next).node.firstChild;
    link.focus();
    link.scrollIntoView({ block: "nearest" });
    if (current !== null) go(href(next), true);
    if (by > 0 && at >= hashes.length - 5 && cursor !== null) load();
  }

  async function acknowledge() {
    const hash = document.activeElement?.dataset?.hash ?? current;
    const entry = rows.get(hash);
    if (!entry) return toast("Choose an incident first: j and k move.");
    try {
      await post(entry.row.open ? "incident/acknowledge" : "incident/unacknowledge", { incident: entry.row.key });
      toast(entry.row.open ? "Acknowledged. Press a again to take it back." : "Open again.");
      refresh();
      if (hash === current) detail?.refresh(true);
    } catch (error) {
      toast(`It was not changed: ${error.message}`);
    }
  }

  const forget = keys({
    j: ["Next incident", () => step(1)],
    k: ["Previous incident", () => step(-1)],
    Enter: ["Open the incident", () => { const order = list.firstChild?.firstChild?.dataset.hash; if (current === null && order) go(href(order)); }],
    a: ["Acknowledge, or take it back", acknowledge],
    "/": ["Search", () => {
      const box = document.getElementById("search");
      if (box.value) box.value = `${box.value.trimEnd()} `;
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
    }],
    Escape: ["Close the incident", () => current !== null && go(href(null))],
  });
  const quiet = onChange(refresh);
  const every = setInterval(drawStrip, 60_000);
  const left = () => localStorage.setItem("looked", String(Date.now()));
  window.addEventListener("pagehide", left);

  function update(url) {
    const asked = url.searchParams.get("q") ?? USUAL;
    const hash = /^\/incidents\/([0-9a-f]{32})$/.exec(url.pathname)?.[1] ?? null;
    const changed = asked !== query;
    query = asked;
    if (changed) {
      const tab = (label, q) => h("a", { href: href(null, q), "data-inside": true, "aria-current": (q === "" ? !/(^|\s)is:/.test(query) : query.includes(q)) ? "true" : null }, label);
      tabs.replaceChildren(tab("Open", "is:open"), tab("Acknowledged", "is:acknowledged"), tab("All", ""));
      const box = search.querySelector("input");
      if (box.value.trim() !== query) box.value = query;
      drawStrip();
      load(true);
    }
    show(hash);
  }

  update(address);
  return { update, close() { closed = true; loading?.abort(); forget(); quiet(); clearInterval(every); sentinel.disconnect(); window.removeEventListener("pagehide", left); left(); detail?.close(); } };
}

/** The row's sentence, its captured parts inert. */
export function sentence(row) {
  const parts = [row.source && inert(row.source), row.did, row.place && inert(row.place)].filter(Boolean);
  return parts.flatMap((part, i) => (i ? [" ", part] : [part]));
}
