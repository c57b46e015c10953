// The flocks: birds and tokens in groups.
import { confirm, failure, h, toast } from "./dom.js";
import { get, post } from "./api.js";

export const title = "Flocks";

/** Mounts the view. */
export function open(root) {
  const body = h("div");
  let closed = false;
  const name = h("input", { id: "flock", maxlength: 100, required: true, autocomplete: "off" });
  const form = h("form", { class: "stack" }, h("h2", {}, "New flock"), h("p", {}, h("label", { for: "flock" }, "Name"), name), h("p", {}, h("button", { class: "first" }, "Make it")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act("create", { name: name.value }, "Made.").then((done) => { if (done) name.value = ""; });
  });
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Flocks")), h("p", { class: "soft" }, "A flock is a group of birds and tokens: a site, a customer, a team."), body, form));

  async function act(action, params, done) {
    try {
      await post(`flock/${action}`, params);
      toast(done);
      load();
      return true;
    } catch (error) {
      toast(`It was not changed: ${error.message}`);
      return false;
    }
  }

  async function load() {
    try {
      const { flocks_summary: flocks } = await get("flocks/summary");
      if (!closed) body.replaceChildren(h("ul", { class: "cards" }, Object.entries(flocks).map(([id, flock]) => card(id, flock))));
    } catch (error) {
      if (!closed) body.replaceChildren(failure("The flocks could not be loaded.", error, load));
    }
  }

  function card(id, flock) {
    return h("li", { class: "card" }, h("h2", {}, h("bdi", {}, flock.name)),
      flock.note && h("p", {}, h("bdi", {}, flock.note)),
      h("p", {}, `${flock.online_devices} bird${flock.online_devices === 1 ? "" : "s"} up`, flock.offline_devices ? h("span", { class: "loss" }, `, ${flock.offline_devices} down`) : ""),
      h("p", {}, `${flock.total_tokens} tokens, ${flock.incident_count} incidents not acknowledged`),
      id !== "flock:default" && h("p", { class: "actions" }, h("button", { type: "button", onclick: async () => { if (await confirm("Delete this flock?", "Only an empty flock can be deleted.", "Delete")) act("delete", { flock_id: id }, "Deleted."); } }, "Delete")));
  }

  load();
  return { close() { closed = true; } };
}
