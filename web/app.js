// The shell: one view at a time, addresses, the tab's title, the keyboard that works everywhere.
import { announce, h } from "./dom.js";
import { keys } from "./keys.js";
import { start } from "./live.js";
import { refresh } from "./time.js";

const VIEWS = [
  [/^\/(incidents\/[0-9a-f]{32})?$/, "/", () => import("./incidents.js")],
  [/^\/birds$/, "/birds", () => import("./birds.js")],
  [/^\/tokens$/, "/tokens", () => import("./tokens.js")],
  [/^\/tokens\/new(\/[a-z0-9-]+)?$/, "/tokens", () => import("./newtoken.js")],
  [/^\/tokens\/[0-9a-z]{25}$/, "/tokens", () => import("./token.js")],
  [/^\/flocks$/, "/flocks", () => import("./flocks.js")],
  [/^\/settings$/, "/settings", () => import("./settings.js")],
  [/^\/audit$/, "/audit", () => import("./audit.js")],
];

const root = document.getElementById("main");
let current = null;
let view = null;

/** Shows how many incidents are open: in the rail and in the tab's title. */
function setOpen({ count, more }) {
  const text = count ? `${count}${more ? "+" : ""}` : "";
  const badge = document.getElementById("open");
  badge.textContent = text;
  badge.nextElementSibling.textContent = text ? `, ${text} not acknowledged` : "";
  document.title = (text ? `(${text}) ` : "") + document.title.replace(/^\(\d+\+?\) /, "");
}

/** Goes to an address; `replace` leaves no step in the history. */
function go(address, replace = false) {
  if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
  show();
}

async function show() {
  const url = new URL(location.href);
  const found = VIEWS.find(([pattern]) => pattern.test(url.pathname));
  if (!found) return location.reload();
  for (const link of document.querySelectorAll(".rail li a")) {
    if (link.pathname === found[1]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current === found) return view?.update?.(url);
  const moved = current !== null;
  current = found;
  view?.close?.();
  view = null;
  let module;
  try {
    module = await found[2]();
  } catch {
    root.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "This part of the page did not arrive"), h("p", {}, "Nothing was lost. Reload the page when the Console can be reached.")));
    current = null;
    return;
  }
  if (current !== found) return;
  const count = /^\(\d+\+?\) /.exec(document.title)?.[0] ?? "";
  document.title = `${count}${module.title} · Coalmine`;
  view = module.open(root, new URL(location.href), { go, setOpen });
  announce(module.title);
  // What was pressed is gone: the keyboard goes on at the top of the new view.
  if (moved && document.activeElement === document.body) { root.focus({ preventScroll: true }); scrollTo(0, 0); }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".rail a[href^='/'], a[data-inside]");
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
window.addEventListener("popstate", show);
window.addEventListener("storage", (event) => event.key === "zone" && refresh());

keys({
  1: ["Incidents", () => go("/")],
  2: ["Birds", () => go("/birds")],
  3: ["Tokens", () => go("/tokens")],
});
start();
show();
