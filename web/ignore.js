// Sources that make no incidents: the rule made from an incident, and the list of all rules.
import { confirm, failure, h, toast } from "./dom.js";
import { get, page, post } from "./api.js";

const PAUSE = 200;

/** Opens the rule filled in; says what it would have hidden before it is saved. */
export function ignoreSuch({ source, port }) {
  let asked = 0, timer = null;
  const field = (id, label, props, hint) => h("p", {}, h("label", { for: id }, label), h("input", { id, name: id, autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-hint`, ...props }), h("span", { class: "hint", id: `${id}-hint` }, hint));
  const effect = h("p", { class: "notice", role: "status" });
  const save = h("button", { class: "first", disabled: true }, "Ignore from now on");
  const form = h("form", { class: "stack" }, h("h2", { id: "ignore" }, "Ignore such as this"),
    h("p", {}, "For a scanner or a backup of your own. What such a source does is remembered nowhere."),
    field("ignore-source", "Source address", { value: source, required: true, maxlength: 45 }, "Exactly this address."),
    field("ignore-port", "Port touched", { value: port || "", inputmode: "numeric", pattern: "[0-9]*", maxlength: 5 }, "Empty: on every port."),
    effect,
    h("p", { class: "actions" }, save, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  const dialog = h("dialog", { "aria-labelledby": "ignore" }, form);
  const rule = () => ({ src_ip: form.elements["ignore-source"].value.trim(), dst_port: form.elements["ignore-port"].value.trim() });

  async function look() {
    const turn = ++asked;
    save.disabled = true;
    try {
      const { hidden } = await page("ignored", rule());
      if (turn !== asked) return;
      effect.replaceChildren(hidden === 0 ? "It would have hidden no incident of the last 30 days." : h("b", {}, `It would have hidden ${hidden} incident${hidden === 1 ? "" : "s"} of the last 30 days.`), " What is listed already stays.");
      save.disabled = false;
    } catch (error) {
      if (turn === asked) effect.replaceChildren(error.message);
    }
  }

  form.addEventListener("input", () => { save.disabled = true; clearTimeout(timer); timer = setTimeout(look, PAUSE); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { src_ip, dst_port } = rule();
    try {
      await post("settings/whitelist_ip_port", dst_port ? { src_ip, dst_port } : { src_ip });
      dialog.close();
      toast("Ignored from now on. Settings list the rule.");
    } catch (error) {
      effect.replaceChildren(`No rule was made: ${error.message}`);
    }
  });
  dialog.addEventListener("close", () => { clearTimeout(timer); asked += 1; dialog.remove(); });
  document.body.append(dialog);
  dialog.showModal();
  look();
}

/** The rules, to look at and to remove. */
export function ignored() {
  const list = h("ul", { class: "related" }), note = h("div");

  async function load() {
    try {
      const { whitelist_ips, whitelist_enable } = await get("settings");
      const rules = Map.groupBy(whitelist_ips.split(",").filter(Boolean), (entry) => address(entry));
      list.replaceChildren(...[...rules].map(([source, entries]) => line(source, entries)));
      note.replaceChildren(rules.size === 0 ? h("p", { class: "soft" }, "None. An incident has a button that adds its source.") : whitelist_enable === false ? h("p", { class: "notice" }, "Ignoring is switched off: all of these make incidents.") : "");
    } catch (error) {
      note.replaceChildren(failure("The ignored sources could not be loaded.", error, load));
    }
  }

  function line(source, entries) {
    const ports = entries.map(portOf).filter(Boolean);
    const where = ports.length < entries.length ? "every port" : `port${ports.length === 1 ? "" : "s"} ${ports.join(", ")}`;
    return h("li", { class: "actions" }, h("bdi", {}, source), h("span", { class: "soft small" }, where),
      h("button", { type: "button", onclick: () => drop(source) }, "Remove", h("span", { class: "unseen" }, ` ${source}`)));
  }

  async function drop(source) {
    if (!(await confirm("Ignore this source no longer?", `Whatever ${source} touches makes incidents again.`, "Remove"))) return;
    try {
      await post("settings/whitelisting/remove_whitelist_ip", { src_ip: source });
      toast("Removed.");
    } catch (error) {
      toast(`It was not removed: ${error.message}`);
    }
    load();
  }

  load();
  return h("section", { class: "stack" }, h("h2", {}, "Ignored sources"), h("p", { class: "hint" }, "What these do makes no incidents and is remembered nowhere."), note, list);
}

/** `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`. */
function address(entry) {
  if (entry.startsWith("[")) return entry.slice(1, entry.indexOf("]"));
  return entry.split(":").length === 2 ? entry.split(":")[0] : entry;
}

function portOf(entry) {
  if (entry.startsWith("[")) return entry.split("]:")[1];
  return entry.split(":").length === 2 ? entry.split(":")[1] : undefined;
}
