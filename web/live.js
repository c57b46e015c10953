// Live updates: one stream that says "something changed", and the banner that says since when it is silent.
import { absolute } from "./time.js";

const listeners = new Set();
let stale = null;
let last = Date.now();

/** Calls `listener()` whenever an incident changed, and once after the connection came back. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

function show() {
  const banner = document.getElementById("stale");
  banner.hidden = stale === null;
  banner.textContent = stale === null ? "" : `No connection to the Console: what you see is as of ${absolute(stale)}. Nothing is lost there; reconnecting by itself.`;
}

/** Opens the stream; the browser reconnects by itself after a break. */
export function start() {
  let source;
  const open = () => {
    source = new EventSource("/live");
    source.addEventListener("open", () => {
      const back = stale !== null;
      stale = null;
      last = Date.now();
      show();
      if (back) tell();
    });
    source.addEventListener("message", () => { last = Date.now(); tell(); });
    source.addEventListener("ping", () => { last = Date.now(); });
    source.addEventListener("bye", () => location.assign("/login"));
    source.addEventListener("error", () => {
      stale ??= last;
      setTimeout(show, 1500);
      // A refused stream (not a broken one) is not retried by the browser.
      if (source.readyState === EventSource.CLOSED) { setTimeout(open, 5000); }
    });
  };
  open();
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
}
