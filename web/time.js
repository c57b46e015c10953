// Times: relative in lists, absolute with zone on hover and in the detail.
import { h } from "./dom.js";

/** What has nothing new for so long is over. */
const GOING = 2 * 60_000;
const STEPS = [[86400, "d"], [3600, "h"], [60, "min"]];

/** Whether times are shown in UTC (else in the browser's zone). */
export const utc = () => localStorage.getItem("zone") === "utc";

/** Changes the zone and redraws every time that is shown. */
export function setUtc(on) {
  localStorage.setItem("zone", on ? "utc" : "local");
  refresh();
}

/** `2 min`, `3 h`, `5 d`. */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const step = STEPS.find(([size]) => seconds >= size);
  return step ? `${Math.floor(seconds / step[0])} ${step[1]}` : `${seconds} s`;
}

/** `2026-11-22 02:41:34 UTC`. */
export function absolute(ms) {
  const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" };
  if (utc()) options.timeZone = "UTC";
  const part = Object.fromEntries(new Intl.DateTimeFormat("en-GB", options).formatToParts(ms).map((p) => [p.type, p.value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
}

/** A time at an axis, as attributes of a text that [`refresh`] draws: the part of the whole time from letter `from` to letter `to`, and the zone. */
export function axis(ms, from, to, zone) {
  return { "data-axis": Math.round(ms), "data-from": from, "data-to": to, "data-zone": zone };
}

/** Writes such a text, now and whenever the zone changes. */
export function drawAxis(node) {
  const { axis: ms, from, to, zone } = node.dataset, whole = absolute(Number(ms));
  say(node, whole.slice(from, to) + (zone === undefined ? "" : whole.slice(19)));
}

/** "still going on" while the newest event is fresh, then when it was. */
export function going(last) {
  return Date.now() - last < GOING ? h("span", { class: "going", "data-last": last }, "still going on") : time(last);
}

/** What stays as it is must not be touched: somebody may have selected it. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A `<time>`; `how` is `relative` or `absolute`. */
export function time(ms, how = "relative") {
  const node = h("time", { datetime: new Date(ms).toISOString(), "data-how": how });
  draw(node);
  return node;
}

function draw(node) {
  const ms = Date.parse(node.dateTime);
  if (Number.isNaN(ms)) return;
  const whole = absolute(ms);
  const ago = Date.now() - ms;
  say(node, node.dataset.how === "absolute" ? whole : ago < 5000 ? "just now" : `${span(ago)} ago`);
  node.title = node.dataset.how === "absolute" ? `${span(ago)} ago` : whole;
}

/** Redraws every time on the page. */
export function refresh() {
  document.querySelectorAll("time[datetime]").forEach(draw);
  document.querySelectorAll("[data-axis]").forEach(drawAxis);
  for (const node of document.querySelectorAll(".going[data-last]")) {
    const last = Number(node.dataset.last);
    if (Date.now() - last >= GOING) node.replaceWith(time(last));
  }
}

setInterval(refresh, 20_000);
