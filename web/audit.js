// The audit trail: who changed what.
import { failure, h } from "./dom.js";
import { get } from "./api.js";
import { inert } from "./text.js";
import { time } from "./time.js";

export const title = "Audit";

/** Mounts the view. */
export function open(root) {
  const rows = h("tbody"), note = h("div");
  let cursor = null, closed = false, busy = false;
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "Load older ones");
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Audit")), note,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit trail" }, h("table", {}, h("thead", {}, h("tr", {}, ["When", "Who", "From", "What"].map((label) => h("th", { scope: "col" }, label)))), rows)), h("p", {}, more)));

  async function load() {
    if (busy) return;
    busy = true;
    try {
      const answer = await get("audit_trail/fetch", cursor === null ? { limit: 100 } : { cursor });
      if (closed) return;
      rows.append(...answer.audit_trail.map((entry) => h("tr", {},
        h("td", { class: "when" }, time(Date.parse(entry.timestamp.replace(" UTC+0000", "Z").replace(" ", "T")), "absolute")),
        h("td", {}, inert(entry.user ?? "")), h("td", {}, inert(entry.user_ip ?? "")), h("td", {}, inert(entry.message)))));
      cursor = answer.cursor?.next ?? null;
      more.hidden = cursor === null;
      note.replaceChildren(rows.children.length ? "" : h("p", { class: "soft" }, "Nobody has changed anything yet."));
    } catch (error) {
      if (!closed) note.replaceChildren(failure("The audit trail could not be loaded.", error, load));
    } finally {
      busy = false;
    }
  }
  load();
  return { close() { closed = true; } };
}
