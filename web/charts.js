// Charts as SVG. Each has a text alternative in words.
import { s } from "./dom.js";
import { absolute, axis, drawAxis } from "./time.js";

/** A row's sparkline: counts from first to last event. */
export function spark(counts) {
  const width = 64, height = 18, step = width / counts.length, most = Math.max(1, ...counts);
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    counts.map((n, i) => n > 0 && s("rect", { class: "bar", x: (i * step).toFixed(1), width: Math.max(1, step - 1).toFixed(1), ...rise(n, most, height) })));
}

function rise(n, most, height) {
  const h = Math.max(2, Math.round((n / most) * height));
  return { y: height - h, height: h };
}

/**
 * A histogram to drag a window in. `buckets`: [[ms, count]…] of equal width `step`.
 * `select(from, to)` is called when a window was dragged, `select(null)` when one was clicked away.
 */
export function histogram({ buckets, step, height = 48, label, chosen, select, zoomOut }) {
  const width = 720, base = height - 14;
  const from = buckets[0]?.[0] ?? 0, to = (buckets.at(-1)?.[0] ?? 0) + step;
  const most = Math.max(1, ...buckets.map(([, n]) => n));
  const total = buckets.reduce((sum, [, n]) => sum + n, 0);
  const peak = buckets.find(([, n]) => n === most);
  const words = total === 0 ? `${label}: no events.` : `${label}: ${total} events, most (${most}) at ${absolute(peak[0])}.`;
  const x = (ms) => ((ms - from) / (to - from)) * width;
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, height, class: "chart", preserveAspectRatio: "none", role: "img", "aria-label": words });
  svg.append(s("line", { class: "axis", x1: 0, x2: width, y1: base + .5, y2: base + .5 }));
  const wide = (width * step) / (to - from);
  for (const [at, n] of buckets) {
    if (n === 0) continue;
    const bar = s("rect", { class: chosen && at + step > chosen[0] && at < chosen[1] ? "bar hot" : "bar", x: x(at).toFixed(1), width: Math.max(2, Math.min(24, wide - 1.5)).toFixed(1), ...rise(n, most, base) });
    bar.append(s("title", {}, `${absolute(at)}: ${n}`));
    svg.append(bar);
  }
  for (const part of [0, .25, .5, .75, 1]) {
    svg.append(when({ class: part % .5 ? "quarter" : null, x: part * width, y: height - 2, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" }, from + part * (to - from), to - from, part === 1));
  }
  if (chosen) svg.append(s("rect", { class: "window", x: x(Math.max(from, chosen[0])), y: 0, width: Math.max(2, x(Math.min(to, chosen[1])) - x(Math.max(from, chosen[0]))), height: base }));
  if (select) drag(svg, width, base, (a, b) => select(from + (a / width) * (to - from), from + (b / width) * (to - from)), zoomOut);
  // Text must not be stretched with the bars.
  const fit = () => { const box = svg.getBoundingClientRect(); if (box.width) svg.querySelectorAll("text").forEach((t) => t.setAttribute("transform", `translate(${t.getAttribute("x")} 0) scale(${(width / box.width).toFixed(4)} 1) translate(${-t.getAttribute("x")} 0)`)); };
  new ResizeObserver(fit).observe(svg);
  return svg;
}

/** A time at an axis of this length: the day where days go by, seconds where minutes would repeat; the last one says the zone. */
function when(props, ms, length, last) {
  const part = length > 30 * 86_400_000 ? [0, 10] : length > 2 * 86_400_000 ? [0, 16] : [11, length < 1_200_000 ? 19 : 16];
  const node = s("text", { ...props, ...axis(ms, ...part, last) });
  drawAxis(node);
  return node;
}

/** Dragging a window; a mere click calls `clear`. */
function drag(svg, width, height, done, clear) {
  let start = null, shade = null;
  const where = (event) => { const box = svg.getBoundingClientRect(); return Math.min(width, Math.max(0, ((event.clientX - box.left) / box.width) * width)); };
  svg.addEventListener("pointerdown", (event) => {
    start = where(event);
    svg.setPointerCapture(event.pointerId);
    shade = s("rect", { class: "window", x: start, y: 0, width: 0, height });
    svg.append(shade);
  });
  svg.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const at = where(event);
    shade.setAttribute("x", Math.min(start, at));
    shade.setAttribute("width", Math.abs(at - start));
  });
  svg.addEventListener("pointercancel", () => { start = null; shade?.remove(); });
  svg.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const from = start, at = where(event);
    start = null;
    shade.remove();
    if (Math.abs(at - from) > 5) done(Math.min(from, at), Math.max(from, at));
    else clear?.();
  });
}

/** Ports against time: `points` are [ms, port]. */
export function ports(points) {
  const width = 720, height = 160, left = 44, base = height - 18;
  const times = points.map(([at]) => at), numbers = points.map(([, port]) => port);
  const from = Math.min(...times), to = Math.max(from + 1000, ...times), top = Math.max(1024, ...numbers);
  const words = `Ports against time: ${points.length} ports between ${Math.min(...numbers)} and ${Math.max(...numbers)}, ${absolute(from)} to ${absolute(to)}.`;
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    s("line", { class: "axis", x1: left, x2: width, y1: base, y2: base }), s("line", { class: "axis", x1: left, x2: left, y1: 0, y2: base }),
    s("text", { x: left - 6, y: 10, "text-anchor": "end" }, top), s("text", { x: left - 6, y: base, "text-anchor": "end" }, 0),
    when({ x: left, y: height - 3 }, from, to - from), when({ x: width, y: height - 3, "text-anchor": "end" }, to, to - from, true));
  for (const [at, port] of points) {
    svg.append(s("circle", { class: "bar hot", cx: (left + 4 + ((at - from) / (to - from)) * (width - left - 8)).toFixed(1), cy: (base - 3 - (port / top) * (base - 8)).toFixed(1), r: 2.5 }, s("title", {}, `port ${port}, ${absolute(at)}`)));
  }
  return svg;
}

/** Ports across, birds down, a mark where one was touched: `reach` is [[port, [address…]]…]. */
export function grid(reach) {
  const most = 64, birds = [...new Set(reach.flatMap(([, list]) => list))];
  const columns = reach.slice(0, most), rows = birds.slice(0, most);
  const left = 120, head = 40, row = 18, wide = Math.min(40, (720 - left) / columns.length), height = head + rows.length * row + 4;
  const full = columns.filter(([, list]) => list.length === birds.length).length;
  const words = `Ports and birds: ${reach.length} ports on ${birds.length} birds; ${full} of ${columns.length} ports on every bird.`;
  const svg = s("svg", { viewBox: `0 0 720 ${height}`, role: "img", "aria-label": words }, s("title", {}, "Ports and birds"), s("desc", {}, words));
  columns.forEach(([port, list], i) => {
    const x = left + (i + .5) * wide;
    svg.append(s("text", { x, y: head - 6, transform: `rotate(-60 ${x} ${head - 6})` }, port));
    rows.forEach((bird, j) => {
      if (list.includes(bird)) svg.append(s("circle", { class: "bar hot", cx: x.toFixed(1), cy: head + (j + .5) * row, r: Math.min(5, wide / 2.4).toFixed(1) }, s("title", {}, `port ${port}, ${bird}`)));
    });
  });
  rows.forEach((bird, j) => svg.append(s("line", { class: "axis", x1: left, x2: left + columns.length * wide, y1: head + (j + 1) * row, y2: head + (j + 1) * row }), s("text", { x: left - 8, y: head + (j + .5) * row + 4, "text-anchor": "end" }, bird)));
  return svg;
}
