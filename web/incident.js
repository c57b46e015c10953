// One incident: facts, timeline, what was tried, what it means, every event.
import { announce, confirm, copyButton, entitle, failure, h, inUse, toast } from "./dom.js";
import { page, post, remove } from "./api.js";
import { grid, histogram, ports } from "./charts.js";
import { ignoreSuch } from "./ignore.js";
import { inert, value } from "./text.js";
import { going, time } from "./time.js";

/** Most fields that the table of events shows. */
const MAX_COLUMNS = 24;
/** Furthest that the Console pages events. */
const MAX_PAGED = 20_000;

/** Shows the incident in `root`. */
export function openIncident(root, hash, { close, href, go, sentence, changed, gone }) {
  let closed = false, shown = null, zoom = null, events = null, passwords = false, sorted = "count", asks = 0, mine = false;
  const changedPill = h("button", { type: "button", class: "pill", onclick: () => { draw(); root.focus({ preventScroll: true }); } }, "Changed: show");

  /** `own`: the reader changed it, so it may be drawn anew under their hands. */
  async function load(own = false) {
    const ask = ++asks;
    mine ||= own === true;
    try {
      const incident = await page("incident", { hash });
      // A later question has the newer answer.
      if (closed || ask !== asks) return;
      const first = shown === null, same = JSON.stringify(incident) === JSON.stringify(shown);
      shown = incident;
      if (same && !changedPill.isConnected) { mine = false; return; }
      if (!first && !mine && inUse(root)) {
        if (!changedPill.isConnected) { root.append(changedPill); announce("This incident has changed."); }
        return;
      }
      const pressed = root.querySelector(".actions")?.contains(document.activeElement);
      mine = false;
      draw();
      if (pressed) root.querySelector(".actions button").focus({ preventScroll: true });
      if (first) { root.scrollTop = 0; announce(`Incident open: ${root.querySelector("h1").textContent}`); }
    } catch (error) {
      if (closed || shown) return;
      root.replaceChildren(h("button", { type: "button", onclick: close }, "Close"), failure("This incident could not be shown.", error, load));
    }
  }

  function draw() {
    const { row } = shown;
    const top = root.scrollTop;
    entitle(row.title);
    const unfolded = root.querySelector("details")?.open;
    root.replaceChildren(...[
      h("button", { type: "button", class: "close", "aria-label": "Close the incident", title: "Close (Esc)", onclick: close }, "✕"),
      h("header", {},
        h("button", { type: "button", class: "back", onclick: close }, "← All incidents"),
        h("h1", {}, sentence(row)),
        h("p", { class: "soft" }, row.title, row.open ? "" : " · acknowledged", shown.going ? [" · ", going(row.last)] : null),
        actions(row)),
      h("section", { "aria-label": "Facts" }, h("dl", { class: "factlist" }, shown.facts.map((fact) => h("div", {}, h("dt", {}, fact.label), h("dd", {}, fact.at ? time(fact.at, "absolute") : fact.captured ? inert(fact.text) : fact.text)))),
        shown.read && shown.read < row.events ? h("p", { class: "hint" }, `Counted in the first ${shown.read} of ${row.events} events.`) : null),
      h("section", {}, h("h2", {}, "What this usually means, and what to do"), h("ol", { class: "advice" }, shown.advice.map((line) => h("li", {}, line)))),
      timeline(), tried(), hashes(), scan(), files(), all(), related()].filter(Boolean));
    if (unfolded) root.querySelector("details")?.setAttribute("open", "");
    root.scrollTop = top;
  }

  function actions(row) {
    const act = async (name, done) => {
      try {
        await (name === "delete" ? remove : post)(`incident/${name}`, { incident: row.key });
        toast(done);
        if (name === "delete") { gone(hash); close(); } else load(true);
        changed();
      } catch (error) {
        toast(`It was not changed: ${error.message}`);
      }
    };
    return h("p", { class: "actions" },
      row.open
        ? h("button", { type: "button", class: "first", onclick: () => act("acknowledge", "Acknowledged.") }, "Acknowledge")
        : h("button", { type: "button", onclick: () => act("unacknowledge", "Open again.") }, "Open again"),
      !row.open && h("button", { type: "button", onclick: async () => { if (await confirm("Delete this incident?", "Its events are gone for good; only a line in the history of the source remains.", "Delete")) act("delete", "Deleted."); } }, "Delete"),
      shown.ignore && h("button", { type: "button", onclick: () => ignoreSuch(shown.ignore) }, "Ignore such as this…"),
      shown.token && h("a", { class: "button", href: `/tokens/${shown.token}`, "data-inside": true }, "The token"),
      copyButton(() => location.href, "Copy link"),
      h("a", { class: "button", href: `/api/v1/incident/fetch?hash_id=${row.hash}`, download: `incident-${row.hash}.json` }, "Export JSON"));
  }

  function timeline() {
    const { marks, step } = shown;
    if (marks.length < 2) return null;
    const box = h("section", {});
    const paint = () => {
      let set = marks, width = step;
      if (zoom) { set = marks.filter(([at]) => at + step > zoom[0] && at <= zoom[1]); if (set.length < 2) { zoom = null; set = marks; } }
      box.replaceChildren(h("div", { class: "actions" }, h("h2", {}, "Timeline"), zoom && h("button", { type: "button", onclick: () => { zoom = null; paint(); drawEvents(); } }, "Whole time")),
        histogram({ buckets: set, step: width, height: 84, label: "Events of this incident", select: (a, b) => { zoom = [a, b]; paint(); drawEvents(); }, zoomOut: () => { if (zoom) { zoom = null; paint(); drawEvents(); } } }),
        h("p", { class: "hint" }, "Drag over a part to look closer; the events below follow."));
    };
    paint();
    return box;
  }

  function tried() {
    const { tried } = shown;
    if (tried.length === 0) return null;
    const body = h("tbody");
    const paint = () => {
      const order = [...tried].sort((a, b) => (sorted === "count" ? b.count - a.count : String(a[sorted]).localeCompare(String(b[sorted]))));
      body.replaceChildren(...order.map((pair) => h("tr", {}, h("td", {}, inert(pair.user)), h("td", {}, pair.password === null ? h("span", { class: "soft" }, "none") : passwords ? inert(pair.password) : h("span", { class: "soft", "aria-label": "hidden" }, "••••••")), h("td", { class: "num" }, pair.count))));
    };
    const head = (label, key, number) => h("th", { class: number && "num", scope: "col" }, h("button", { type: "button", title: `Sort by ${label.toLowerCase()}`, onclick: () => { sorted = key; paint(); } }, label, " ⇅"));
    const toggle = h("button", { type: "button", onclick: () => { passwords = !passwords; toggle.textContent = passwords ? "Hide passwords" : "Show passwords"; paint(); drawEvents(); } }, passwords ? "Hide passwords" : "Show passwords");
    paint();
    return h("section", {}, h("div", { class: "actions" }, h("h2", {}, "What was tried"), toggle,
      copyButton(() => tried.map((pair) => [pair.user, pair.password ?? "", pair.count].map((cell) => String(cell).replace(/[\t\r\n]/g, " ")).join("\t")).join("\n"), "Copy table")),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Users and passwords" }, h("table", {}, h("thead", {}, h("tr", {}, head("User", "user"), head("Password", "password"), head("Times", "count", true))), body)));
  }

  function hashes() {
    if (shown.hashes.length === 0) return null;
    const lines = shown.hashes.map((hash) => hash.line);
    return h("section", {}, h("div", { class: "actions" }, h("h2", {}, "Hashes"), copyButton(() => lines.join("\n"), "Copy all for hashcat")),
      h("p", { class: "hint" }, shown.hashes[0].how),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Hashes" }, h("table", {}, h("tbody", {}, shown.hashes.map((hash) => h("tr", {}, h("td", {}, inert(hash.user)), h("td", {}, inert(hash.line)), h("td", {}, copyButton(hash.line))))))));
  }

  function scan() {
    if (shown.ports.length === 0) return null;
    if (shown.reach.length > 0) {
      const birds = new Set(shown.reach.flatMap(([, birds]) => birds));
      return h("section", {}, h("h2", {}, "Ports and birds"),
        h("p", {}, `A sweep: ${count(shown.reach.length, "port")} on ${count(birds.size, "bird")}.`), grid(shown.reach),
        h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Birds by port" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Port"), h("th", { scope: "col" }, "Birds"))),
          h("tbody", {}, shown.reach.map(([port, birds]) => h("tr", {}, h("th", { scope: "row" }, port), h("td", {}, inert(birds.join(", "))))))))));
    }
    return h("section", {}, h("h2", {}, "Ports against time"), h("p", {}, `A scan: ${shown.more_ports ? "at least " : ""}${count(shown.ports.length, "port")} of one bird.`), ports(shown.ports), h("p", { class: "small" }, "Ports: ", inert([...new Set(shown.ports.map(([, port]) => port))].sort((a, b) => a - b).join(", "))));
  }

  function files() {
    if (shown.files.length === 0) return null;
    const tree = new Map();
    for (const path of shown.files) {
      let at = tree;
      for (const part of path.split(/[\\/]+/).filter(Boolean).slice(0, 24)) at = at.get(part) ?? at.set(part, new Map()).get(part);
    }
    const list = (map) => h("ul", {}, [...map].map(([name, inner]) => h("li", {}, inert(name), inner.size ? list(inner) : null)));
    const top = list(tree);
    top.className = "tree";
    return h("section", {}, h("h2", {}, "What was read"), top);
  }

  // ---- every event, paged
  const slot = h("section", {});
  let raw = false;
  function all() {
    // The oldest come first, so what was loaded stays and new ones come after it.
    const more = events && events.list.length > shown.events.length;
    events = more ? { list: events.list, cursor: events.list.length < Math.min(shown.row.events, MAX_PAGED) ? events.cursor ?? events.list.length : null } : { list: shown.events, cursor: shown.cursor };
    drawEvents();
    return slot;
  }

  function drawEvents() {
    const list = zoom ? events.list.filter((e) => e.at >= zoom[0] && e.at <= zoom[1]) : events.list;
    const names = [...new Set(list.flatMap((e) => Object.keys(e.fields)))], columns = names.slice(0, MAX_COLUMNS);
    const said = zoom && events.cursor !== null ? `${list.length} of the ${events.list.length} loaded events are in this part; ${shown.row.events} in all` : `${list.length} of ${shown.row.events} shown`;
    const secret = (name) => !passwords && /password/i.test(name);
    const table = h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), columns.map((name) => h("th", { scope: "col" }, inert(name))))),
      h("tbody", {}, list.map((e) => h("tr", {}, h("td", { class: "when" }, time(e.at, "absolute")), columns.map((name) => h("td", {}, e.fields[name] === undefined ? "" : secret(name) ? "••••••" : value(e.fields[name])))))));
    slot.replaceChildren(h("div", { class: "actions" }, h("h2", {}, "Events"), h("span", { class: "soft small" }, said),
      h("button", { type: "button", "aria-pressed": String(raw), onclick: () => { raw = !raw; drawEvents(); } }, raw ? "Table" : "Raw JSON"),
      raw && copyButton(() => JSON.stringify(list.map((e) => ({ at: e.at, ...e.fields })), null, 2))),
      raw ? h("pre", { class: "inert scroll", tabindex: "0" }, inert2(JSON.stringify(list.map((e) => ({ at: e.at, ...e.fields })), null, 2))) : h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events" }, table),
      !raw && names.length > MAX_COLUMNS ? h("p", { class: "hint" }, `${count(names.length - MAX_COLUMNS, "more field")}: see the raw JSON.`) : "",
      events.cursor !== null && h("p", {}, h("button", { type: "button", onclick: moreEvents }, "Load more events")) || "");
  }

  let fetching = false;
  async function moreEvents() {
    if (fetching) return;
    fetching = true;
    try {
      const answer = await page("events", { hash, cursor: events.cursor });
      if (closed) return;
      events = { list: [...events.list, ...answer.events], cursor: answer.cursor };
      drawEvents();
    } catch (error) {
      toast(`No more events could be loaded: ${error.message}`);
    } finally {
      fetching = false;
    }
  }

  function related() {
    if (shown.related.length === 0) return null;
    return h("section", {}, h("h2", {}, "Also from this source"), h("ul", { class: "related" }, shown.related.map((row) => {
      const link = h("a", { href: href(row.hash) }, sentence(row));
      link.addEventListener("click", (event) => { if (!event.defaultPrevented && !event.ctrlKey && !event.metaKey) { event.preventDefault(); go(href(row.hash)); } });
      return h("li", {}, link, h("span", { class: "soft small" }, " · ", time(row.last)));
    })));
  }

  load();
  return { refresh: load, close() { closed = true; changedPill.remove(); } };
}

function count(n, what) {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

/** JSON keeps its line breaks; its strings have their controls escaped already. */
function inert2(json) {
  return json.replace(/[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
}
