// Building the page: elements and text nodes only, never markup from strings.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: attributes; `on*` are listeners; `false`, `null` and `undefined` are left out. */
export function h(name, props = {}, ...children) {
  return fill(document.createElement(name), props, children);
}

/** An SVG element. */
export function s(name, props = {}, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Names the tab; the count of open incidents before the name stays. */
export function entitle(text) {
  document.title = `${/^\(\d+\+?\) /.exec(document.title)?.[0] ?? ""}${text} \u00b7 Coalmine`;
}

/** Whether the reader's hands are in it: the keyboard, a selection or a pressed button. */
export function inUse(node) {
  const chosen = getSelection();
  return (node !== document.activeElement && node.contains(document.activeElement)) || (!chosen.isCollapsed && node.contains(chosen.anchorNode)) || node.matches(":active");
}

// Nodes that are pressed or selected, and what is to be drawn in them then.
const waiting = new WeakMap();

/** `draw`s what stands in `node` anew; what is pressed or selected there may first be let go. The keyboard stays. */
export function redraw(node, draw) {
  if (waiting.has(node)) return void waiting.set(node, draw);
  const wait = node.matches(":active") ? "pointerup" : !getSelection().isCollapsed && getSelection().containsNode(node, true) ? "selectionchange" : null;
  // Later than the event itself: the click comes after it.
  if (wait) {
    waiting.set(node, draw);
    document.addEventListener(wait, () => setTimeout(() => {
      const last = waiting.get(node);
      waiting.delete(node);
      redraw(node, last);
    }), { once: true });
    return;
  }
  const focused = node.contains(document.activeElement);
  draw();
  if (focused) node.firstChild.focus({ preventScroll: true });
}

/** Says something to screen readers, politely. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}

/** A short message at the corner; the announcement says it to screen readers. */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  const node = h("div", { class: "toast", "aria-hidden": "true" }, text);
  document.body.append(node);
  announce(text);
  setTimeout(() => node.remove(), 6000);
}

/** A message that stays: what failed, whether anything was lost, what to do. */
export function failure(what, error, retry) {
  return h("div", { class: "notice bad", role: "alert" },
    h("p", {}, h("b", {}, what)), h("p", {}, error.message),
    retry && h("p", { class: "actions" }, h("button", { type: "button", onclick: retry }, "Try again")));
}

/** A copy button. `text` may be a function. */
export function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      toast("Copied.");
    } catch {
      toast("The browser refused to copy. Select the text and copy it by hand.");
    }
  });
  return button;
}

/** Asks before something that cannot be undone. Resolves to true or false. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "ask" });
    const close = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    dialog.append(h("div", {}, h("h2", { id: "ask" }, title), h("p", {}, text),
      h("p", { class: "actions" },
        h("button", { type: "button", class: "first", onclick: () => close(true) }, yes),
        h("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel"))));
    dialog.addEventListener("cancel", () => close(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}
