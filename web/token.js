// One token: whether it was touched, by whom and when; what to place; how to try it.
import { announce, confirm, copyButton, entitle, failure, h, inUse, toast } from "./dom.js";
import { get, page, post } from "./api.js";
import { histogram } from "./charts.js";
import { keys } from "./keys.js";
import { onChange } from "./live.js";
import { prose, reach } from "./newtoken.js";
import { inert, value } from "./text.js";
import { span, time } from "./time.js";
import { tokenSettings } from "./tokensettings.js";
import { state, touched } from "./tokens.js";

export const title = "Token";

// Fields of a token that are the same for every kind; the others are what the kind gives.
const COMMON = new Set(["canarytoken", "created", "created_printable", "enabled", "flock_id", "hostname", "key", "kind", "kind_description", "memo", "metadata_entity_id", "node_id", "renders", "triggered_count", "updated_id", "url", "browser_scanner_enabled", "factory_auth", "integration", "online"]);
const SLOW = 15_000;

/** Mounts the view. */
export function open(root, address, { go }) {
  let id = null, token = null, kind = null, file = {}, hits = null, zoom = null, watch = null, closed = false;
  const head = h("div", { class: "stack" }), notice = h("div"), where = h("section"), place = h("section"), trial = h("section"), settings = h("section", { hidden: true }), about = h("section");
  const said = h("p", { role: "status" });
  const body = h("div", { class: "page token" });
  root.replaceChildren(body);
  const back = () => h("p", {}, h("a", { href: "/tokens", "data-inside": true }, "← All tokens"));

  async function load() {
    const asked = id;
    try {
      hits = await page("token", { id });
      const [answer, { kinds }, artefact] = await Promise.all([get("canarytoken/fetch", { canarytoken: id }), page("kinds"), page("token/file", { id })]);
      if (closed || asked !== id) return;
      token = answer.token;
      file = artefact;
      kind = kinds.find((one) => one.id === token.kind) ?? { id: token.kind, title: token.kind, doc: [], channels: [], reach: "direct", trial: "" };
      body.replaceChildren(head, notice, where, place, trial, settings, about);
      drawHead();
      drawNotice();
      drawHits();
      drawPlace();
      drawTrial();
      drawAbout();
      drawSettings();
      due.clear();
      // What was told meanwhile may be newer.
      if (missed) refresh(false, true);
      missed = false;
    } catch (error) {
      if (closed || asked !== id) return;
      token = null;
      body.replaceChildren(back(), h("h1", {}, title), failure("This token could not be shown.", error, error.status === 404 ? null : load));
    }
  }

  function drawHead() {
    const focused = head.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const act = (key, label, onclick, first) => h("button", { type: "button", class: first ? "first" : null, "data-key": key, onclick }, label);
    entitle(token.memo.slice(0, 60));
    head.replaceChildren(back(), h("h1", {}, inert(token.memo)),
      h("p", { class: "facts" }, h("span", {}, kind.title), state(token.enabled), h("b", {}, touched(hits.count)), hits.hits[0] && h("span", {}, "last touched ", time(hits.hits[0].at))),
      h("p", { class: "actions" },
        act("try", "Try it", () => { trial.scrollIntoView({ block: "start" }); trial.querySelector("a, button")?.focus({ preventScroll: true }); }),
        act("edit", "Change the reminder", edit),
        token.enabled ? act("state", "Switch off", off) : act("state", "Arm", () => change("enable", {}, "Armed: the next touch is noticed."), true),
        act("delete", "Delete…", gone), copyButton(() => location.href, "Copy link")));
    if (focused) head.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  function edit() {
    const text = h("textarea", { id: "memo", rows: 2, required: true, maxlength: 10000 });
    text.value = token.memo;
    const done = () => { drawHead(); head.querySelector("[data-key=edit]").focus(); };
    const form = h("form", { class: "stack" }, h("p", {}, h("label", { for: "memo" }, "Reminder"), text),
      h("p", { class: "actions" }, h("button", { class: "first" }, "Save"), h("button", { type: "button", onclick: done }, "Cancel")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await change("update", { memo: text.value }, "Saved.")) done();
    });
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); done(); } });
    head.replaceChildren(back(), form);
    text.focus();
  }

  async function change(action, params, done) {
    const asked = id, was = token.enabled, fetched = () => get("canarytoken/fetch", { canarytoken: asked });
    const draw = (fresh) => {
      if (closed || asked !== id) return;
      token = fresh;
      drawHead();
      drawTrial();
    };
    try {
      await post(`canarytoken/${action}`, { canarytoken: asked, ...params });
      draw((await fetched()).token);
      toast(done);
      return !closed && asked === id;
    } catch (error) {
      // It may have been changed here and not at the cloud that the token lives in.
      const fresh = await fetched().then((answer) => answer.token, () => null);
      if (!fresh || fresh.enabled === was) {
        toast(`It was not changed: ${error.message}`);
      } else {
        draw(fresh);
        toast(error.message);
        if (!closed && asked === id) notify(h("b", {}, error.message));
      }
      return false;
    }
  }

  const its = () => (hits.incidents === 1 ? "Its incident" : `Its ${hits.incidents} incidents`);

  async function off() {
    const stay = hits.incidents ? ` ${its()} stay${hits.incidents === 1 ? "s" : ""} as ${hits.incidents === 1 ? "it is" : "they are"}.` : "";
    if (await confirm("Switch this token off?", `Whoever touches it gets the same answer as before, but nobody is told until it is armed again.${stay}`, "Switch off")) change("disable", {}, "Switched off: touches are not noticed.");
  }

  async function gone() {
    const open = hits.open ? ` (${hits.open} not acknowledged)` : "";
    const text = hits.incidents ? `${its()}${open} will be deleted with it. To keep ${hits.incidents === 1 ? "it" : "them"}, switch the token off instead.` : "It has no incidents.";
    if (!await confirm("Delete this token?", `Where it is placed it stays, but touches of it will never be noticed again. ${text}`, "Delete")) return;
    deleting = true;
    try {
      await post("canarytoken/delete", { canarytoken: id, clear_incidents: "true" });
      toast("Deleted.");
      go("/tokens", true);
    } catch (error) {
      deleting = false;
      toast(`It was not deleted: ${error.message}`);
    }
  }

  function drawNotice() {
    const made = sessionStorage.getItem("made") === id;
    sessionStorage.removeItem("made");
    if (made) notify(h("b", {}, "It is armed. Now place it."), " Then try it once: you know what an incident of it looks like, and that it works from there.");
    else notify();
  }

  /** Something that stays said while the token is shown; nothing by nothing. */
  function notify(...words) {
    notice.replaceChildren(words.length ? h("div", { class: "notice" }, h("p", {}, words)) : "");
    notice.hidden = words.length === 0;
  }

  // ---- touches
  function drawHits() {
    where.hidden = hits.count === 0;
    if (!hits.hits.length) return where.replaceChildren(h("p", { class: "soft" }, `${touched(hits.count)}; the incidents of that are deleted.`));
    const marks = Object.entries(hits.marks).map(([at, n]) => [Number(at), n]).sort((a, b) => a[0] - b[0]);
    const { step } = hits;
    const { from } = hits, to = Math.max(from, hits.to - step);
    const redraw = (part) => { zoom = part; refresh(true); };
    const set = marks;
    if (!set.length || set[0][0] > from) set.unshift([from, 0]);
    if (set.at(-1)[0] < to) set.push([to, 0]);
    const list = zoom ? hits.hits.filter((hit) => hit.at >= zoom[0] && hit.at <= zoom[1]) : hits.hits;
    const any = (name) => hits.hits.some((hit) => hit[name].length);
    const told = hits.hits.some((hit) => Object.keys(hit.told).length);
    const th = (text) => h("th", { scope: "col" }, text);
    const rows = list.map((hit) => h("tr", {}, h("td", { class: "when" }, h("a", { href: `/incidents/${hit.hash}?q=`, "data-inside": true }, time(hit.at, "absolute"))),
      h("td", {}, inert(hit.source), hit.reverse && [h("br"), inert(hit.reverse)], hit.lists.map((word) => [" ", h("b", {}, word)])),
      any("place") && h("td", {}, hit.place && inert(hit.place)), any("agent") && h("td", {}, hit.agent && inert(hit.agent)),
      told && h("td", {}, Object.entries(hit.told).map(([name, text]) => h("div", {}, `${name}: `, value(text))))));
    where.replaceChildren(
      h("div", { class: "actions" }, h("h2", {}, "Where and when it was touched"), zoom && h("button", { type: "button", onclick: () => redraw(null) }, "Whole time"),
        hits.incidents > 0 && h("a", { class: "button", "data-inside": true, href: `/?${new URLSearchParams({ q: `bird:${id}` })}` }, `All ${hits.incidents === 1 ? "in its incident" : `${hits.incidents} incidents`}`)),
      histogram({ buckets: set, step, height: 84, label: "Touches of this token", select: (a, b) => redraw([Math.round(a), Math.round(b)]), zoomOut: () => zoom && redraw(null) }),
      h("p", { class: "hint" }, `From the day it was made until now; drag over a part to look closer. `, list.length < hits.count ? `${list.length} of ${hits.count} touches are listed, the newest first.` : ""),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Touches" }, h("table", {}, h("thead", {}, h("tr", {}, th("Time (opens the incident)"), th("Source"), any("place") && th("Place"), any("agent") && th("Program"), told && th("What it told"))), h("tbody", {}, rows))));
  }

  // ---- what to place
  function drawPlace() {
    const there = `/page/token/download?id=${id}`;
    const lines = [], more = [];
    const line = (label, text) => h("div", {}, h("dt", {}, label), /\n/.test(text.trim())
      ? h("dd", {}, h("pre", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, text.trimEnd()), h("p", { class: "actions" }, copyButton(text)))
      : h("dd", { class: "one" }, inert(text.trim()), copyButton(text.trim())));
    const picture = (src, alt) => h("div", {}, h("dt", {}, "Picture"), h("dd", {}, h("img", { class: "shot", src, alt })));
    if (file.name) lines.push(h("div", {}, h("dt", {}, "File"), h("dd", { class: "one" }, inert(file.name), h("span", { class: "soft" }, file.bytes < 2000 ? `${file.bytes} bytes` : `${Math.round(file.bytes / 1000)} kB`), h("a", { class: "button first", href: there, download: file.name }, "Download"))));
    if (/\.(png|jpe?g|gif)$/i.test(file.name ?? "")) lines.push(picture(there, token.qr_code ? "The token's address as a QR code" : "The picture that is the token"));
    const renders = Object.entries(token.renders ?? {}).filter(([, text]) => text);
    for (const [name, text] of renders) {
      if (name !== "svg") lines.push(line(name === kind.id ? "Text to place" : plain(name), text));
      else if (!token.qr_code) lines.push(picture(`data:image/svg+xml,${encodeURIComponent(text)}`, "The configuration as a QR code"));
    }
    if (kind.channels.includes("http") && !token.renders?.url) (lines.length && !token.qr_code ? more : lines).push(line("Address", token.url));
    if (kind.channels.includes("dns")) (lines.length ? more : lines).push(line("Host name", token.hostname));
    for (const [name, text] of Object.entries(token)) {
      const one = Array.isArray(text) ? text.join("\n") : text;
      if (!COMMON.has(name) && typeof one === "string" && one && !one.startsWith("data:") && !/_type$|^exe_/.test(name) && !renders.some(([, render]) => render === one)) more.push(line(plain(name), one));
    }
    place.replaceChildren(h("h2", {}, "What to place"), h("dl", { class: "factlist wide" }, lines),
      more.length ? h("details", { open: !file.name || kind.doc.some((line) => /`\w+_\w+`/.test(line)) }, h("summary", {}, "Its values"), h("dl", { class: "factlist" }, more)) : "");
  }

  // ---- try it
  function drawTrial() {
    const values = { ...token, ...token.renders, file: file.name };
    const parts = kind.trial.split("`").map((part) => part.replace(/\{([\w-]+)\}/g, (whole, name) => String(values[name] ?? whole).trim()));
    const command = parts[1] ?? "", dig = command.startsWith("dig ");
    const link = /^curl (?:-o picture )?'(http[^']+)'$/.exec(command)?.[1];
    const code = (text) => h("p", { class: "command" }, h("code", {}, text), " ", copyButton(() => { begin(); return text; }));
    trial.replaceChildren(...[h("h2", {}, "Try it"),
      !token.enabled && h("p", { class: "notice" }, "It is switched off: a touch now is not noticed. Arm it first."),
      h("p", {}, parts[0].trim().replace(/,? or$/, ", or:")), command && code(command),
      dig && hits.dns && h("p", { class: "hint" }, "This goes the way that an intruder's query goes. Where the zone is not delegated yet, ask this Console itself:"),
      dig && hits.dns && code(command.replace("dig ", `dig ${hits.dns} `)),
      h("p", { class: "actions" }, link && h("a", { class: "button first", href: link, target: "_blank", rel: "noopener noreferrer", onclick: begin }, "Open it in a new tab"), h("button", { type: "button", onclick: begin }, "Watch for a touch")), said].filter(Boolean));
  }

  /** Waits for the next touch and says how soon it was here. */
  function begin() {
    clearTimeout(watch?.slow);
    const since = performance.now();
    if (zoom) { zoom = null; refresh(true); }
    watch = { since, count: hits.count, slow: setTimeout(() => { said.replaceChildren("Nothing yet. Does the address lead to this Console: its name, its port, a firewall between? It goes on watching."); }, SLOW) };
    said.className = "notice";
    said.replaceChildren("Watching for a touch…");
  }

  function noticed() {
    if (!watch || hits.count <= watch.count) return;
    clearTimeout(watch.slow);
    const hit = hits.hits[0], took = performance.now() - watch.since;
    watch = null;
    said.className = "notice";
    said.replaceChildren(h("b", {}, "It works. "), `Noticed ${took < 10_000 ? `${(took / 1000).toFixed(1)} s` : span(took)} after you began, from `, inert(hit.source), ". ", h("a", { href: `/incidents/${hit.hash}?q=`, "data-inside": true }, "See the incident"));
    said.scrollIntoView({ block: "nearest" });
  }

  async function drawSettings() {
    const asked = id, title = h("h2", {}, "Settings of this token");
    settings.hidden = true;
    try {
      const forms = await tokenSettings(token, kind, (fresh) => {
        if (closed || asked !== id) return;
        token = fresh;
        if (!head.querySelector("form")) drawHead();
        drawPlace();
        drawTrial();
      });
      if (closed || asked !== id) return;
      settings.replaceChildren(title, ...forms);
      settings.hidden = forms.length === 0;
    } catch (error) {
      if (closed || asked !== id) return;
      settings.replaceChildren(title, failure("They could not be loaded.", error, drawSettings));
      settings.hidden = false;
    }
  }

  function drawAbout() {
    const fact = (label, ...text) => h("div", {}, h("dt", {}, label), h("dd", {}, text));
    about.replaceChildren(h("h2", {}, "About it"), h("div", { class: "about" }, kind.doc.map((line) => h("p", {}, prose(line))), reach(kind)),
      h("dl", { class: "factlist" }, fact("Kind", kind.title), fact("Reach", plain(kind.reach)), fact("Made", time(Number(token.created) * 1000, "absolute")), fact("Flock", h("bdi", {}, hits.flock)), fact("Id", inert(id))));
  }

  let busy = false, again = null, deleting = false, missed = false;
  // What could not be drawn because it was in use.
  const due = new Map();
  const draw = (part, drawn) => { if (inUse(part)) due.set(part, drawn); else { due.delete(part); drawn(); } };
  const late = () => setTimeout(() => { if (!closed && token) for (const [part, drawn] of [...due]) draw(part, drawn); });
  body.addEventListener("focusout", late);
  body.addEventListener("pointerup", late);
  /** Looks at its touches again; `whole`: and at itself, for somebody else may have changed it. */
  async function refresh(redraw = false, whole = false) {
    if (!token) { missed = true; return; }
    if (deleting) return;
    if (busy) { again = { redraw: redraw || again?.redraw, whole: whole || again?.whole }; return; }
    busy = true;
    const asked = id;
    try {
      const [fresh, { token: now }] = await Promise.all([page("token", { id, from: zoom?.[0], to: zoom?.[1] }), whole ? get("canarytoken/fetch", { canarytoken: id }) : { token }]);
      if (!closed && asked === id) {
        // What was saved here meanwhile is newer.
        const other = now.updated_id > token.updated_id, more = fresh.count - hits.count, changed = redraw || more || fresh.open !== hits.open || fresh.incidents !== hits.incidents;
        hits = fresh;
        if (other) {
          token = now;
          draw(place, drawPlace);
          draw(trial, drawTrial);
        }
        if ((changed || other) && !head.querySelector("form")) drawHead();
        if (changed) {
          drawHits();
          noticed();
          if (more > 0) announce(`${touched(hits.count)}.`);
        }
      }
    } catch (error) {
      // The banner tells that the Console is out of reach.
      if (!closed && asked === id && !deleting && error.status === 404) load();
    }
    busy = false;
    if (again) { const { redraw: then, whole: all } = again; again = null; refresh(then, all); }
  }

  function update(url) {
    const asked = url.pathname.split("/")[2];
    if (asked === id) return;
    id = asked;
    zoom = null;
    clearTimeout(watch?.slow);
    watch = null;
    load();
  }

  const forget = keys({ Escape: ["All tokens", () => go("/tokens")] });
  const quiet = onChange((what) => refresh(false, what !== "change"), "tokens");
  update(address);
  return { update, close() { closed = true; clearTimeout(watch?.slow); forget(); quiet(); } };
}

/** `callback_url` as `Callback url`. */
function plain(name) {
  const text = name.replace(/[_-]/g, " ");
  return text[0].toUpperCase() + text.slice(1);
}
