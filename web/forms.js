// Forms that stay where they are: what is wrong is said at the field, what happened below.
import { h } from "./dom.js";

/** A field with its label, hint and place for what is wrong with it; a box to tick has its label behind it. */
export function field(id, label, input, hint = "") {
  const tick = input.type === "checkbox";
  for (const [key, value] of Object.entries({ id, "aria-describedby": `${id}-hint ${id}-wrong` })) input.setAttribute(key, value);
  return h("p", {}, h("label", { for: id }, tick ? [input, " "] : "", label), tick ? "" : input, h("span", { class: "hint", id: `${id}-hint` }, hint), h("span", { class: "wrong", id: `${id}-wrong` }));
}

/** A text of many lines, e.g. a list with one entry a line. */
export const lines = (text, props) => {
  const box = h("textarea", { rows: 4, spellcheck: "false", autocomplete: "off", ...props });
  box.value = text;
  return box;
};

/**
 * A form with these fields and a button that saves. `save(at)` does it and resolves to what is to
 * be said then; `at(input, work, otherwise)` waits for work whose failure is that input's and is told
 * by `otherwise` where the API says no more than that it's wrong.
 */
export function form(title, about, fields, save, ...others) {
  const said = h("p", { role: "status" });
  // In this form: another token's may stand there by now.
  const wrong = (input) => node.querySelector(`#${input.id}-wrong`);
  let busy = false;
  const run = async (work) => {
    if (busy) return;
    busy = true;
    let blamed = node.querySelector("input, textarea"), simply = "It is not taken.";
    said.replaceChildren();
    for (const input of node.querySelectorAll("[aria-invalid]")) { input.removeAttribute("aria-invalid"); wrong(input).textContent = ""; }
    try {
      said.replaceChildren(await work((input, doing, otherwise = simply) => { blamed = input; simply = otherwise; return doing; }));
    } catch (error) {
      blamed.setAttribute("aria-invalid", "true");
      wrong(blamed).textContent = words(error.message) ?? simply;
      said.replaceChildren("It was not saved.");
      blamed.focus();
    } finally {
      busy = false;
    }
  };
  const node = h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); run(save); } },
    h("h3", {}, title), about && h("p", { class: "small" }, about), fields,
    h("p", { class: "actions" }, h("button", { class: "first" }, "Save", h("span", { class: "unseen" }, `: ${title}`)),
      others.map(([label, work]) => h("button", { type: "button", onclick: () => run(work) }, label))), said);
  return node;
}

/** What the API refuses, without the names that its parameters have there; nothing where it says no more. */
function words(message) {
  if (/^Parameter \w+ was invalid\.$/.test(message)) return null;
  const text = message.replace(/^Could not process the parameters\. /, "").replace(/^Parameter \w+ was invalid\. /, "").replace(/^[a-z_]+: /, "");
  return text ? text[0].toUpperCase() + text.slice(1) : null;
}
