// The incidents: list and open incident side by side, new ones arriving without moving what is read.
import { announce, failure, h, toast } from "./dom.js";
import { page, post } from "./api.js";
import { spark, histogram } from "./charts.js";
import { keys } from "./keys.js";
import { onChange } from "./live.js";
import { openIncident } from "./incident.js";
import { searchBox, windowOf, withWindow } from "./search.js";
import { inert } from "./text.js";
import { span, time } from "./time.js";

export const title = "Incidents";

const GOING = 2 * 60_000;
/** What is listed when the address asks for nothing else. */
const USUAL = "is:open";
const DAY_STEP = 15 * 60_000;

/** Mounts the view. `go(address)` navigates. */
export function open(root, address, { go, setOpen }) {
  const rows = new Map();
  let query = null, cursor = null, newest = 0, current = null, detail = null, loading = null, waiting = [], notified = null;
  const looked = Number(localStorage.getItem("looked") ?? 0);
  let facts = null, kinds = [], birds = [];

  const strip = h("div", { class: "strip" });
  const pill = h("button", { type: "button", class: "pill", hidden: true, onclick: showWaiting });
  const list = h("ol", { class: "rows", "aria-label": "Incidents" });
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => load() }, "Load older ones");
  const note = h("div");
  const searchSlot = h("div");
  const tabs = h("nav", { class: "tabs", "aria-label": "Which incidents" });
  const side = h("section", { class: "detail", "aria-label": "Incident", tabindex: "-1", hidden: true });
  const listBox = h("section", { class: "list", "aria-label": "List of incidents" },
    h("header", {}, h("div", { class: "top" }, h("h1", {}, "Incidents"), tabs, h("span", { class: "soft small" }, h("kbd", {}, "?"), " keys")), searchSlot, strip),
    pill, note, list, more);
  const frame = h("div", { class: "incidents" }, listBox, side);
  root.replaceChildren(frame);

  const sentinel = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && cursor !== null && load(), { rootMargin: "800px" });
  sentinel.observe(more);

  // ---- list
  function href(hash, q = query) {
    const search = q === USUAL ? "" : `?${new URLSearchParams({ q })}`;
    return hash ? `/incidents/${hash}${search}` : `/${search}`;
  }

  async function load(restart = false) {
    if (loading && !restart) return;
    loading?.abort();
    const control = new AbortController();
    loading = control;
    more.textContent = rows.size && !restart ? "Load older ones" : "Looking further back…";
    try {
      const answer = await page("rows", { q: query, cursor: restart ? null : cursor }, control.signal);
      if (restart) { rows.clear(); list.replaceChildren(); waiting = []; showPill(); listBox.scrollTop = 0; }
      for (const row of answer.rows) add(row);
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
      if (error.name !== "AbortError") note.replaceChildren(failure("The incidents could not be loaded.", error, () => load(restart)));
    } finally {
      if (loading === control) loading = null;
    }
    // A search that looks far back answers with little at a time.
    if (!loading && cursor !== null && more.getBoundingClientRect().top < innerHeight + 400) load();
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
    const link = h("a", { href: href(row.hash), "data-hash": row.hash },
      h("span", { class: "sentence" }, sentence(row), row.open ? h("span", { class: "unseen" }, " (not acknowledged)") : null),
      h("span", { class: "meta" }, row.reverse && inert(row.reverse), h("bdi", {}, row.flock), row.events > 1 && h("span", {}, `lasted ${span(row.last - row.created)}`)),
      h("span", { class: "side" }, row.events > 1 && Date.now() - row.last < GOING ? h("span", { class: "going" }, "still going on") : time(row.last), row.events > 1 && spark(row.spark)));
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
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
  async function refresh() {
    drawStrip();
    try {
      const answer = await page("rows", { q: query, after: newest });
      newest = Math.max(newest, answer.newest);
      setOpen(answer.open);
      for (const row of answer.rows) {
        const known = rows.get(row.hash);
        if (known) {
          const focused = known.node.contains(document.activeElement);
          known.row = row;
          fill(known.node, row);
          if (focused) known.node.firstChild.focus({ preventScroll: true });
        } else if (!row.listed) {
          waiting = waiting.filter((w) => w.hash !== row.hash);
        } else if (!waiting.some((w) => w.hash === row.hash)) {
          waiting.push(row);
        } else {
          waiting = waiting.map((w) => (w.hash === row.hash ? row : w));
        }
        if (row.hash === current) detail?.refresh();
      }
      mark();
      showPill();
      notify();
      if (answer.more) refresh();
    } catch { /* The banner tells that the Console is out of reach. */ }
  }

  function showPill() {
    pill.hidden = waiting.length === 0;
    pill.textContent = `${waiting.length} new`;
    if (waiting.length) announce(`${waiting.length} new incidents.`);
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

  function notify() {
    const fresh = waiting.filter((row) => row.open && row.updated_id > (notified ?? 0));
    notified = Math.max(notified ?? 0, ...waiting.map((row) => row.updated_id));
    if (fresh.length === 0 || localStorage.getItem("notify") !== "on" || !("Notification" in window) || Notification.permission !== "granted" || !document.hidden) return;
    const row = fresh[0];
    // A notification is plain text to every desktop that shows it.
    const body = fresh.length === 1 ? `${row.source} ${row.did} ${row.place}`.replace(/[\p{C}]/gu, "\ufffd").slice(0, 200) : `${fresh.length} new incidents`;
    new Notification("Coalmine", { body, tag: "coalmine", icon: document.querySelector("link[rel=icon]").href });
  }

  // ---- strip
  async function drawStrip() {
    try {
      facts = await page("strip", { looked });
    } catch {
      return;
    }
    kinds = facts.kinds;
    birds = facts.names;
    strip.replaceChildren(
      histogram({ buckets: facts.buckets, step: DAY_STEP, label: "Events in the last 24 hours", chosen: windowOf(query), select: (from, to) => go(href(null, withWindow(query, from, to))), zoomOut: () => windowOf(query) && go(href(null, withWindow(query, null))) }),
      h("p", { class: "facts" },
        h("span", {}, `${facts.birds_up} bird${facts.birds_up === 1 ? "" : "s"} up`),
        h("span", { class: facts.birds_down ? "loss" : null }, facts.birds_down ? `${facts.birds_down} down` : "none down"),
        h("span", {}, `${facts.new}${facts.new >= 1000 ? "+" : ""} new since you last looked`)));
  }

  // ---- detail
  function show(hash) {
    if (hash === current) return;
    detail?.close();
    detail = null;
    current = hash;
    frame.classList.toggle("open", hash !== null);
    side.hidden = hash === null;
    mark();
    if (hash === null) { document.title = document.title.replace(/^(\(\d+\) )?.*/, "$1Incidents · Coalmine"); side.replaceChildren(); return; }
    detail = openIncident(side, hash, { close: () => go(href(null)), href, go, sentence, changed: refresh, gone: (gone) => { rows.get(gone)?.node.remove(); rows.delete(gone); } });
    if (matchMedia("(max-width: 60rem)").matches) { scrollTo(0, 0); }
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
      if (hash === current) detail?.refresh();
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
      searchSlot.replaceChildren(searchBox({ query, kinds: () => kinds, birds: () => birds, go: (q) => go(href(null, q)) }));
      drawStrip();
      load(true);
    }
    show(hash);
  }

  update(address);
  return { update, close() { forget(); quiet(); clearInterval(every); sentinel.disconnect(); window.removeEventListener("pagehide", left); left(); detail?.close(); } };
}

/** The row's sentence, its captured parts inert. */
export function sentence(row) {
  const parts = [row.source && inert(row.source), row.did, row.place && inert(row.place)].filter(Boolean);
  return parts.flatMap((part, i) => (i ? [" ", part] : [part]));
}
