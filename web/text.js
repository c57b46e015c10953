// Attacker's text made inert: text nodes only, isolated from its surroundings, characters that
// cannot be seen shown by name, long text cut with "show all".
import { h } from "./dom.js";

const MAX_SHOWN = 240;

// Controls, soft hyphen, joiners, bidirectional controls, blank fillers, variation selectors, tags.
const UNSEEN = /[\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** `text` as an inert element. */
export function inert(text) {
  const whole = String(text);
  const box = h("bdi", { class: "inert" });
  if (whole === "") return h("span", { class: "soft" }, "(empty)");
  const points = Array.from(whole);
  if (points.length <= MAX_SHOWN) {
    box.append(...pieces(whole));
    return box;
  }
  box.append(...pieces(points.slice(0, MAX_SHOWN).join("")), "… ");
  const more = h("button", { type: "button", class: "plain" }, `show all ${points.length} characters`);
  more.addEventListener("click", (event) => {
    event.preventDefault();
    box.replaceChildren(...pieces(whole));
  });
  return h("span", {}, box, more);
}

/** Text and marks for characters that cannot be seen. */
function pieces(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > at) out.push(text.slice(at, match.index));
    const code = match[0].codePointAt(0);
    const name = code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    out.push(h("span", { class: "ctl", title: "A character that cannot be seen" }, name));
    at = match.index + match[0].length;
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** Any JSON value as inert text. */
export function value(json) {
  return inert(typeof json === "string" ? json : JSON.stringify(json));
}
