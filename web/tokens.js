// The tokens: a gallery that explains each kind, a form made from what the kind asks for, what was placed.
import { confirm, copyButton, failure, h, toast } from "./dom.js";
import { get, page, post } from "./api.js";
import { inert } from "./text.js";
import { time } from "./time.js";

export const title = "Tokens";

// Fields of a token that are the same for every kind; the others are what the kind gives.
const COMMON = new Set(["canarytoken", "created", "created_printable", "enabled", "flock_id", "hostname", "key", "kind", "kind_description", "memo", "node_id", "renders", "triggered_count", "updated_id", "url", "browser_scanner_enabled", "factory_auth"]);

// How a touch is noticed, by channel.
const NOTICES = { dns: "a DNS query", http: "a web request", kubernetes: "a request to a Kubernetes API", mysql: "a login to a MySQL server", smtp: "a mail", wireguard: "a WireGuard handshake" };

/** Mounts the view. */
export function open(root, address, { go }) {
  let kinds = [], cursor = null, closed = false;
  const gallery = h("div"), made = h("div"), list = h("ul", { class: "cards" }), note = h("div");
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "Load more");
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Tokens")), made,
    h("section", {}, h("h2", {}, "Place a new one"), gallery), h("section", {}, h("h2", {}, "Placed"), note, list, more)));

  async function start() {
    try {
      kinds = (await page("kinds")).kinds;
      if (closed) return;
      gallery.replaceChildren(kinds.length ? h("ul", { class: "cards" }, kinds.map(kindCard)) : h("p", { class: "soft" }, "This Console has no token kinds."));
    } catch (error) {
      gallery.replaceChildren(failure("The kinds of tokens could not be loaded.", error, start));
    }
    load(true);
  }

  function kindCard(kind) {
    return h("li", { class: "card" }, h("h3", {}, kind.title), ...kind.doc.map((line) => h("p", { class: "small" }, line)),
      h("p", { class: "hint" }, `Notices: ${kind.channels.map((c) => NOTICES[c] ?? c).join(" or ")}`),
      kind.limits ? h("p", { class: "hint" }, kind.limits) : "",
      h("p", { class: "actions" }, h("button", { type: "button", onclick: () => form(kind) }, "Make one", h("span", { class: "unseen" }, `: ${kind.title}`))));
  }

  function form(kind) {
    const fields = kind.asks.map((ask) => {
      const id = `ask-${ask.name}`;
      if (ask.takes === "bool") return h("p", {}, h("label", { for: id }, h("input", { id, name: ask.name, type: "checkbox", value: "true", checked: ask.default }), " ", ask.doc));
      const label = h("label", { for: id }, ask.doc, ask.required ? "" : " (may be left empty)");
      if (ask.takes === "choice") return h("p", {}, label, h("select", { id, name: ask.name }, ask.required ? "" : h("option", { value: "" }, "\u2013"), ask.words.map((word) => h("option", { value: word }, word))));
      if (ask.takes === "file") return h("p", {}, label, h("input", { id, name: ask.name, type: "file", accept: ask.accepts.map((ext) => `.${ext}`).join(","), required: ask.required }));
      return h("p", {}, label, h("input", { type: ask.takes === "url" ? "url" : "text", id, name: ask.name, maxlength: ask.max, required: ask.required, autocomplete: "off" }));
    });
    const problem = h("div");
    const node = h("form", { class: "stack card" }, h("h2", {}, `New: ${kind.title}`),
      h("p", {}, h("label", { for: "memo" }, "Reminder"), h("input", { id: "memo", name: "memo", required: true, maxlength: 500, autocomplete: "off", "aria-describedby": "memo-hint" }),
        h("span", { class: "hint", id: "memo-hint" }, "Where you place it. At three in the morning this line is all you know: \u201cin passwords.docx on files-02\u201d.")),
      fields, problem,
      h("p", { class: "actions" }, h("button", { class: "first" }, "Make it"), h("button", { type: "button", onclick: () => made.replaceChildren() }, "Cancel")));
    node.addEventListener("submit", async (event) => {
      event.preventDefault();
      const params = { kind: kind.id };
      for (const input of node.elements) {
        if (input.name && (input.type !== "checkbox" || input.checked || kind.asks.some((a) => a.name === input.name))) params[input.name] = input.type === "checkbox" ? String(input.checked) : input.value;
      }
      for (const ask of kind.asks.filter((a) => a.takes === "file")) {
        const file = node.elements[ask.name].files[0];
        if (file) params[ask.name] = file; else delete params[ask.name];
      }
      for (const [name, text] of Object.entries(params)) if (text === "") delete params[name];
      try {
        const { canarytoken } = await post("canarytoken/create", params);
        made.replaceChildren(h("div", { class: "notice" }, h("h2", {}, "It is armed. Now place it."), gives(canarytoken), h("p", { class: "hint" }, "Touch it once yourself to see the incident arrive.")));
        made.scrollIntoView({ block: "nearest" });
        load(true);
      } catch (error) {
        problem.replaceChildren(failure("No token was made.", error));
      }
    });
    made.replaceChildren(node);
    node.querySelector("input").focus();
    node.scrollIntoView({ block: "nearest" });
  }

  function gives(token) {
    const own = Object.entries(token).filter(([name, v]) => !COMMON.has(name) && typeof v === "string" && v);
    const lines = [["Address", token.url], ["Host name", token.hostname], ...own, ...Object.entries(token.renders ?? {})].filter(([, v]) => v);
    return h("dl", { class: "factlist" }, lines.map(([label, text]) => h("div", {}, h("dt", {}, label), h("dd", {}, inert(text), " ", copyButton(text)))));
  }

  async function load(restart = false) {
    try {
      const answer = await get("canarytokens/paginate", restart || cursor === null ? { limit: 50 } : { cursor });
      if (closed) return;
      if (restart) list.replaceChildren();
      list.append(...answer.canarytokens.map(tokenCard));
      cursor = answer.cursor?.next ?? null;
      more.hidden = cursor === null;
      note.replaceChildren(list.children.length ? "" : h("p", { class: "soft" }, "None yet. Good places: a file share, a wiki page, a mailbox, a password store."));
    } catch (error) {
      note.replaceChildren(failure("The tokens could not be loaded.", error, () => load(restart)));
    }
  }

  function tokenCard(token) {
    const kind = kinds.find((k) => k.id === token.kind);
    const change = async (name, params, done) => {
      try {
        await post(`canarytoken/${name}`, { canarytoken: token.canarytoken, ...params });
        toast(done);
        load(true);
      } catch (error) {
        toast(`It was not changed: ${error.message}`);
      }
    };
    const hits = Number(token.triggered_count);
    // What is placed: a kind that only DNS notices has no use for its URL.
    const address = kind?.channels.includes("http") === false ? token.hostname : token.url || token.hostname;
    return h("li", { class: "card" }, h("h3", {}, inert(token.memo)),
      h("p", { class: "small soft" }, kind?.title ?? token.kind, token.enabled ? "" : " · switched off", " · made ", time(Number(token.created) * 1000)),
      h("p", {}, hits === 0 ? "Never touched" : h("b", {}, `Touched ${hits} time${hits === 1 ? "" : "s"}`)),
      h("p", { class: "small" }, inert(address)),
      h("p", { class: "actions" }, copyButton(address),
        hits > 0 && h("a", { class: "button", "data-inside": true, href: `/?${new URLSearchParams({ q: `bird:${token.canarytoken}` })}` }, "Hits"),
        h("button", { type: "button", onclick: () => change(token.enabled ? "disable" : "enable", {}, token.enabled ? "Switched off: touches are not noticed." : "Armed again.") }, token.enabled ? "Switch off" : "Arm"),
        h("button", { type: "button", onclick: async () => { if (await confirm("Delete this token?", "Touches of it will no longer be noticed, and its incidents go with it.", "Delete")) change("delete", { clear_incidents: "true" }, "Deleted."); } }, "Delete")));
  }

  start();
  return { close() { closed = true; } };
}
