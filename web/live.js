// Live updates: one stream says "something changed", and the banner says since when it is silent.
// A browser opens few connections to one Console, so one tab holds the stream for all; when it is
// closed the next one takes over. Where tabs cannot agree on one, each has its own.
import { countOpen } from "./api.js";
import { absolute } from "./time.js";

/** The Console says something every 20 s; longer silence than this is a broken connection. */
const SILENT = 60_000;
const listeners = new Map();
const tabs = navigator.locks && "BroadcastChannel" in window ? new BroadcastChannel("live") : null;
// When the Console was heard last, when any tab that holds the stream was, since when it is silent.
let last = Date.now(), heard = last, stale = null;
// Gives up the stream, or the wait for it.
let turn = null, holds = false;

/** Calls `listener(what)` whenever an incident (`change`) or one of `also` (`tokens`) changed, and once after the connection came back (`open`). */
export function onChange(listener, ...also) {
  listeners.set(listener, ["change", "open", ...also]);
  return () => listeners.delete(listener);
}

/** `work` one at a time: what asks for it while it runs lets it run once more. */
export function single(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) { again = false; await work(); }
    } finally {
      busy = false;
    }
  };
}

function show() {
  const banner = document.getElementById("stale");
  banner.hidden = stale === null;
  banner.textContent = stale === null ? "" : `No connection to the Console: what you see is as of ${absolute(stale)}. Nothing is lost there; reconnecting by itself.`;
}

/** What the stream did: `open`, `change`, `tokens`, `ping`, `lost`. */
function hear(what) {
  heard = Date.now();
  if (what === "lost") return miss();
  last = heard;
  stale = null;
  show();
  // What changed before the stream was open is seen only by looking.
  for (const [listener, wanted] of listeners) if (wanted.includes(what)) listener(what);
}

function miss() {
  stale ??= last;
  setTimeout(show, 1500);
}

function say(what) {
  hear(what);
  tabs?.postMessage(what);
}

/** Holds the stream until what it returns is called. */
function listen() {
  let source, opened, retry = null;
  const open = () => {
    source?.close();
    opened = Date.now();
    source = new EventSource("/live");
    source.addEventListener("open", () => say("open"));
    source.addEventListener("message", () => say("change"));
    source.addEventListener("tokens", () => say("tokens"));
    source.addEventListener("ping", () => say("ping"));
    source.addEventListener("bye", refused);
    source.addEventListener("error", () => {
      say("lost");
      // A refused stream (not a broken one) is not retried by the browser.
      if (source.readyState === EventSource.CLOSED) refused();
    });
  };
  // Any other request tells whether the session is over, and then leads to the sign-in.
  const refused = () => {
    source.close();
    clearTimeout(retry);
    retry = setTimeout(open, 5000);
    countOpen().catch(() => {});
  };
  // A path that drops everything breaks no connection.
  const watch = setInterval(() => {
    if (Date.now() - Math.max(last, opened) < SILENT) return;
    say("lost");
    open();
  }, 2000);
  open();
  return () => { source.close(); clearTimeout(retry); clearInterval(watch); };
}

/** Waits for the stream and holds it; `steal` takes it from a tab that is not heard any more. */
function join(steal = false) {
  leave();
  const control = new AbortController(), { signal } = control;
  turn = control;
  let held = false;
  const hold = () => new Promise((done) => {
    if (signal.aborted) return done();
    held = holds = true;
    const close = listen();
    signal.addEventListener("abort", () => { holds = false; close(); done(); });
  });
  if (!tabs) return hold();
  heard = Date.now();
  navigator.locks.request("live", steal ? { steal } : { signal }, hold).catch(() => {
    if (turn !== control) return;
    // Either another tab took it, or tabs cannot agree here.
    if (held) join();
    else hold();
  });
}

function leave() {
  turn?.abort();
  turn = null;
}

/** Begins to listen. */
export function start() {
  tabs?.addEventListener("message", (event) => hear(event.data));
  // The tab that holds the stream may be frozen by the browser.
  setInterval(() => {
    if (Date.now() - last > SILENT) miss();
    if (tabs && !holds && Date.now() - heard > SILENT + 15_000) join(true);
  }, 2000);
  join();
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && join());
}
