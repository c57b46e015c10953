// A new token: a gallery that explains each kind, and a form made from what the kind asks for.
import { announce, entitle, failure, h } from "./dom.js";
import { get, page, post } from "./api.js";
import { keys } from "./keys.js";

export const title = "Place a token";

const GROUPS = { files: "Files and folders", web: "Links, pages and pictures", mail: "Mail and shared documents", cloud: "Keys, clusters and cards", systems: "Names, machines and networks" };

// How a touch is noticed, by channel.
const NOTICES = { dns: "a DNS query", http: "a web request", kubernetes: "a request to a Kubernetes API", mysql: "a login to a MySQL server", smtp: "a mail", wireguard: "a WireGuard handshake" };

/** A line of a kind's text, what stands between backticks as code. */
export const prose = (line) => line.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

/** How touches of a kind are noticed, and how far it reaches, as paragraphs. */
export function reach(kind) {
  const how = kind.channels.map((channel) => NOTICES[channel] ?? channel).join(" or ");
  return [h("p", {}, `Noticed by ${how}. `, kind.reach === "direct" ? "It needs nobody else: it works wherever it can reach this Console." : kind.reach === "local" ? "It works without an account at the provider, within limits:" : "It works through an account of yours at the provider."),
    kind.limits && h("p", {}, kind.limits),
    kind.integration_problem && h("p", { class: "small" }, "That account does not answer: ", kind.integration_problem)];
}

/** Mounts the view. */
export function open(root, address, { go }) {
  let kinds = null, flocks = [], closed = false, chosen = null;
  const body = h("div", { class: "page" });
  root.replaceChildren(body);

  async function start() {
    try {
      kinds = (await page("kinds")).kinds;
    } catch (error) {
      if (!closed) body.replaceChildren(h("h1", {}, title), failure("The kinds of tokens could not be loaded.", error, start));
      return;
    }
    flocks = await get("flocks/summary").then(({ flocks_summary: all }) => Object.entries(all), () => []);
    if (!closed) update(new URL(location.href));
  }

  function update(url) {
    const id = url.pathname.split("/")[3];
    if (kinds === null || id === chosen) return;
    const moved = chosen !== null;
    chosen = id;
    const kind = kinds.find((one) => one.id === id);
    if (kind) form(kind);
    else gallery(url.searchParams.get("q") ?? "");
    if (moved) { scrollTo(0, 0); if (!kind) root.focus(); }
  }

  const back = (href, text) => h("p", {}, h("a", { href, "data-inside": true }, `← ${text}`));

  function gallery(q) {
    const words = h("input", { id: "q", type: "search", value: q, autocomplete: "off", placeholder: "For example: Word, AWS, mail, phishing" });
    const none = h("p", { class: "soft", hidden: true }, "No kind fits. Try another word.");
    const groups = Object.entries(GROUPS).map(([id, name]) => {
      const cards = kinds.filter((kind) => kind.group === id).map((kind) => ({ kind, node: card(kind), text: [kind.id, kind.title, ...kind.doc, name].join(" ").toLowerCase() }));
      return { cards, node: h("section", { "aria-label": name }, h("h2", {}, name), h("ul", { class: "cards" }, cards.map(({ node }) => node))) };
    });
    const sift = () => {
      const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { cards, node } of groups) {
        for (const one of cards) one.node.hidden = !parts.every((part) => one.text.includes(part));
        const left = cards.filter((one) => !one.node.hidden).length;
        node.hidden = left === 0;
        shown += left;
      }
      none.hidden = shown > 0;
      return shown;
    };
    words.addEventListener("input", () => {
      const shown = sift();
      history.replaceState(null, "", words.value ? `/tokens/new?${new URLSearchParams({ q: words.value })}` : "/tokens/new");
      announce(`${shown} kinds`);
    });
    entitle(title);
    body.replaceChildren(h("header", {}, h("h1", {}, title), back("/tokens", "All tokens")),
      h("form", { class: "filters", role: "search", "aria-label": "Kinds of tokens", onsubmit: (event) => event.preventDefault() }, h("p", {}, h("label", { for: "q" }, "What do you want to leave lying about?"), words)),
      none, ...groups.map(({ node }) => node));
    sift();
  }

  function card(kind) {
    const [what, where, ...rest] = kind.doc;
    return h("li", { class: "card" }, h("h3", {}, kind.title), h("p", { class: "small" }, prose(what)), where && h("p", { class: "small soft" }, prose(where)),
      h("details", { class: "small" }, h("summary", {}, "More", h("span", { class: "unseen" }, ` about ${kind.title}`)), rest.map((line) => h("p", {}, prose(line))), reach(kind)),
      kind.off ? h("p", { class: "small" }, h("b", {}, "Not here yet: "), `it ${kind.off}.`)
        : h("p", { class: "actions" }, h("a", { class: "button", href: `/tokens/new/${kind.id}`, "data-inside": true }, "Make one", h("span", { class: "unseen" }, `: ${kind.title}`))));
  }

  /** A field with its label, hint and place for what is wrong with it. */
  function field(name, doc, input, { required = true, hint = "" } = {}) {
    const id = `ask-${name}`;
    // What follows the first clause explains it.
    const [, head, rest] = /^(.{8,}?)(?<!e\.g)[.;:] +(.*)$/s.exec(doc) ?? [null, doc, ""];
    const text = [rest && rest[0].toUpperCase() + rest.slice(1), hint].filter(Boolean).join(" ");
    for (const [key, value] of Object.entries({ id, name, "aria-describedby": `${id}-hint ${id}-wrong` })) input.setAttribute(key, value);
    if (required) input.required = true;
    const label = h("label", { for: id }, input.type === "checkbox" ? [input, " "] : "", head.replace(/\.$/, ""), required || input.type === "checkbox" ? "" : h("span", { class: "soft" }, " (may be left empty)"));
    return h("p", {}, label, input.type === "checkbox" ? "" : input, h("span", { class: "hint", id: `${id}-hint` }, text), h("span", { class: "wrong", id: `${id}-wrong` }));
  }

  function asked(ask) {
    const lines = /line break/.test(ask.doc);
    const input = {
      bool: () => h("input", { type: "checkbox", value: "true", checked: ask.default }),
      choice: () => h("select", {}, ask.required ? "" : h("option", { value: "" }, "\u2013"), (ask.words ?? []).map((word) => h("option", { value: word }, word))),
      file: () => h("input", { type: "file", accept: ask.accepts?.map((ext) => `.${ext}`).join(",") }),
      url: () => h("input", { type: "url", maxlength: ask.max, autocomplete: "off" }),
      text: () => h(lines ? "textarea" : "input", { type: lines ? null : "text", rows: lines ? 3 : null, maxlength: ask.max, autocomplete: "off" }),
    }[ask.takes]();
    const hint = ask.takes === "file" ? `${ask.accepts.length ? ask.accepts.map((ext) => `.${ext}`).join(", ") : "Any file"}, at most ${Math.round(ask.max / 1048576)} MB.` : "";
    return field(ask.name, ask.doc, input, { required: ask.required, hint });
  }

  function form(kind) {
    const problem = h("div");
    const memo = field("memo", "Reminder", h("textarea", { rows: 2, maxlength: 10000 }), { hint: "Where you place it. At three in the morning this line is all you know: \u201cin passwords.docx on files-02\u201d." });
    const flock = flocks.length > 1 && field("flock_id", "Flock", h("select", {}, flocks.map(([id, one]) => h("option", { value: id, selected: id === "flock:default" }, one.name ?? id))));
    const send = h("button", { class: "first" }, "Make it");
    const node = h("form", { class: "stack" }, memo, kind.asks.map(asked), flock, problem,
      h("p", { class: "actions" }, send, h("a", { class: "button", href: "/tokens/new", "data-inside": true }, "Cancel")));
    node.addEventListener("submit", async (event) => {
      event.preventDefault();
      const params = { kind: kind.id };
      for (const [name, value] of new FormData(node)) if (value instanceof File ? value.name : value.trim()) params[name] = value;
      for (const ask of kind.asks) if (ask.takes === "bool") params[ask.name] = String(node.elements[ask.name].checked);
      problem.replaceChildren();
      for (const input of node.querySelectorAll("[aria-invalid]")) { input.removeAttribute("aria-invalid"); document.getElementById(`${input.id}-wrong`).textContent = ""; }
      send.disabled = true;
      try {
        const { canarytoken } = await post("canarytoken/create", params);
        sessionStorage.setItem("made", canarytoken.canarytoken);
        go(`/tokens/${canarytoken.canarytoken}`);
      } catch (error) {
        blame(node, problem, error);
      }
      send.disabled = false;
    });
    body.replaceChildren(h("header", {}, h("h1", {}, `New: ${kind.title}`), back("/tokens/new", "All kinds")),
      h("div", { class: "beside" }, kind.off ? h("p", { class: "notice" }, `It cannot be made here yet: it ${kind.off}.`) : node, h("aside", { class: "small about", "aria-label": "About this kind" }, kind.doc.map((line) => h("p", {}, prose(line))), reach(kind))));
    entitle(`New: ${kind.title}`);
    node.elements.memo.focus();
  }

  /** Shows what the Console refused at the fields that it names, the rest below. */
  function blame(node, problem, error) {
    const others = [];
    let first = null;
    for (const part of error.message.replace(/^Could not process the parameters\. /, "").split(/; (?=[a-z0-9_]+: )/)) {
      const [, name, text] = /^([a-z0-9_]+): (.*)$/s.exec(part) ?? (/memo/i.test(part) ? [null, "memo", part] : []);
      const input = node.elements[name];
      if (!input?.id) { others.push(part); continue; }
      input.setAttribute("aria-invalid", "true");
      document.getElementById(`${input.id}-wrong`).textContent = text[0].toUpperCase() + text.slice(1);
      first ??= input;
    }
    if (others.length) problem.replaceChildren(failure("No token was made.", { message: others.join("; ") }));
    else announce("No token was made. See the fields that are marked.");
    first?.focus();
  }

  start();
  const forget = keys({ "/": ["Search", () => document.getElementById("q")?.focus()] });
  return { update, close() { closed = true; forget(); } };
}
