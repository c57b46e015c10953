// The birds: who is up, who is lost, and where to put a new one.
import { failure, h } from "./dom.js";
import { get } from "./api.js";
import { inert } from "./text.js";
import { time } from "./time.js";

export const title = "Birds";

/** Mounts the view. */
export function open(root) {
  const note = h("div"), body = h("div"), scans = new Map();
  let closed = false;
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Birds")), note, body));

  async function load() {
    try {
      const { devices } = await get("devices/all");
      if (closed) return;
      note.replaceChildren();
      // What is being pressed must not go away.
      if (body.matches(":active")) return;
      const focused = document.activeElement?.closest("[data-bird]")?.dataset.bird;
      body.replaceChildren(devices.length ? h("ul", { class: "cards" }, devices.sort((a, b) => a.live - b.live || a.name.localeCompare(b.name)).map((bird) => card(bird, scans))) : first());
      if (focused) body.querySelector(`[data-bird="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
    } catch (error) {
      // Said once: an alert interrupts whoever listens.
      if (!closed && !note.firstChild) note.replaceChildren(failure(body.firstChild ? "The birds could not be looked at again: below is how they were." : "The birds could not be loaded.", error, load));
    }
  }
  load();
  const every = setInterval(load, 30_000);
  return { close() { closed = true; clearInterval(every); } };
}

/** `scans` remembers what is known of port scans, so that it stands there until it is asked again. */
function card(bird, scans) {
  const scan = h("dd", {}, scans.has(bird.id) ? inert(scans.get(bird.id)) : "");
  get("device/info", { node_id: bird.id, settings: true }).then(
    ({ device }) => {
      scans.set(bird.id, device.settings?.["portscan.status"] ?? "not watched");
      scan.replaceChildren(inert(scans.get(bird.id)));
    },
    () => scan.replaceChildren("unknown"));
  const seen = Date.parse(bird.last_seen_std.replace(" UTC+0000", "Z").replace(" ", "T"));
  return h("li", { class: bird.live ? "card" : "card lost", "data-bird": bird.id },
    h("h2", {}, h("bdi", {}, bird.name || bird.id)),
    bird.live ? h("p", {}, "Up", bird.uptime_age ? ` for ${bird.uptime_age}` : "") : h("p", { class: "loss" }, "Down: nothing heard", Number.isNaN(seen) ? " yet" : [" since ", time(seen, "absolute")]),
    bird.location && h("p", {}, h("bdi", {}, bird.location)),
    h("dl", { class: "factlist" },
      fact("Address", bird.ip_address), fact("Pretends to be", bird.personality || bird.ippers), fact("Version", bird.version), fact("Id", bird.id),
      h("div", {}, h("dt", {}, "Port scans"), scan)),
    !bird.live && h("p", { class: "small" }, "While it is down nobody notices a touch of it. See whether the machine runs and reaches the Console; what it saw meanwhile it sends when it is back."),
    h("p", { class: "actions" }, h("a", { class: "button", "data-inside": true, href: `/?${new URLSearchParams({ q: `bird:${bird.id}` })}` }, "Its incidents")));
}

function fact(label, text) {
  return text ? h("div", {}, h("dt", {}, label), h("dd", {}, inert(text))) : null;
}

function first() {
  return h("div", { class: "empty" }, h("h2", {}, "No bird yet"),
    h("p", {}, "A bird is a machine that only pretends to be useful. Nobody has a reason to touch it, so whoever does is worth a look."),
    h("p", {}, "Start one with ", h("code", {}, "coalmine up"), ". Place it where an intruder looks first: beside the servers with the interesting names, in each network segment, with a name that fits its neighbours."));
}
