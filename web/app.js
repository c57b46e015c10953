// The shell: one view at a time, addresses, the tab's title, the keyboard that works everywhere.
import { countOpen } from "./api.js";
import { announce, entitle, h } from "./dom.js";
import { keys } from "./keys.js";
import { onChange, single, start } from "./live.js";
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
let known = null;

/** Shows how many incidents are open: in the rail and in the tab's title. `fresh`: sentences of new ones, where the view knows them. */
function setOpen({ count, more }, fresh = []) {
  const text = count ? `${count}${more ? "+" : ""}` : "";
  const badge = document.getElementById("open");
  badge.textContent = text;
  badge.nextElementSibling.textContent = text ? `, ${text} not acknowledged` : "";
  document.title = (text ? `(${text}) ` : "") + document.title.replace(/^\(\d+\+?\) /, "");
  const rise = fresh.length || (known === null ? 0 : count - known);
  known = count;
  if (rise > 0) notify(fresh.length === 1 ? fresh[0] : rise === 1 ? "A new incident" : `${rise} new incidents`);
}

/** A desktop notification, if the user turned it on and doesn't look at the page. */
function notify(text) {
  if (!document.hidden || localStorage.getItem("notify") !== "on" || !("Notification" in window) || Notification.permission !== "granted") return;
  // A notification is plain text to every desktop that shows it.
  const body = text.replace(/[\p{C}]/gu, "\ufffd").slice(0, 200);
  try {
    new Notification("Coalmine", { body, tag: "coalmine", icon: document.querySelector("link[rel=icon]").href });
  } catch { /* Browsers on phones may give permission and still have none for pages. */ }
}

/** The incidents count by themselves; every other view is counted for. */
const count = single(async () => {
  if (current === VIEWS[0]) return;
  try {
    setOpen(await countOpen());
  } catch { /* The banner tells that the Console is out of reach. */ }
});

/** Goes to an address; `replace` leaves no step in the history. */
function go(address, replace = false) {
  if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
  show();
}

async function show() {
  const url = new URL(location.href);
  const found = VIEWS.find(([pattern]) => pattern.test(url.pathname));
  for (const link of document.querySelectorAll(".rail li a")) {
    if (link.pathname === found?.[1]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (found && current === found) return view?.update?.(url);
  const moved = current !== null;
  current = found;
  view?.close?.();
  view = null;
  count();
  if (!found) {
    entitle("No such page");
    root.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "There is no such page"), h("p", {}, "The address is cut off or misspelt, or what it named is gone."), h("p", {}, h("a", { href: "/", "data-inside": true }, "All incidents"))));
    return announce("There is no such page");
  }
  let module;
  try {
    module = await found[2]();
  } catch {
    root.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "This part of the page did not arrive"), h("p", {}, "Nothing was lost. Reload the page when the Console can be reached.")));
    current = null;
    return;
  }
  if (current !== found) return;
  entitle(module.title);
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
onChange(count);
start();
show();
