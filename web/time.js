// Times: relative in lists, absolute with zone on hover and in the detail.
import { h } from "./dom.js";

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

/** `02:41`, for axes; with seconds where minutes would repeat. */
export function clock(ms, seconds = false) {
  return absolute(ms).slice(11, seconds ? 19 : 16);
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
  node.textContent = node.dataset.how === "absolute" ? whole : ago < 5000 ? "just now" : `${span(ago)} ago`;
  node.title = node.dataset.how === "absolute" ? `${span(ago)} ago` : whole;
}

/** Redraws every time on the page. */
export function refresh() {
  document.querySelectorAll("time[datetime]").forEach(draw);
}

setInterval(refresh, 20_000);
