// The keyboard: one table of keys, and the help that shows it.
import { h } from "./dom.js";

const table = new Map();

/** Adds keys: `{key: [what it does, function]}`. Returns a function that takes them away. */
export function keys(set) {
  for (const [key, entry] of Object.entries(set)) table.set(key, entry);
  return () => Object.entries(set).forEach(([key, entry]) => table.get(key) === entry && table.delete(key));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.closest("input, textarea, select");
  if (typing && event.key !== "Escape") return;
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const entry = table.get(event.key);
  if (!entry || event.defaultPrevented) return;
  event.preventDefault();
  if (typing) typing.blur();
  else entry[1]();
});

/** Shows all keys. */
export function help() {
  const dialog = h("dialog", { "aria-labelledby": "keys" });
  dialog.append(h("div", {}, h("h2", { id: "keys" }, "Keys"),
    h("dl", { class: "keys" }, [...table].map(([key, [what]]) => [h("dt", {}, h("kbd", {}, key === "Escape" ? "Esc" : key)), h("dd", {}, what)])),
    h("p", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

keys({ "?": ["This help", help] });
