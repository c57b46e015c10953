// Settings of this browser and of the account.
import { failure, h, toast } from "./dom.js";
import { pagePost } from "./api.js";
import { ignored } from "./ignore.js";
import { setUtc, utc } from "./time.js";

export const title = "Settings";

/** Mounts the view. */
export function open(root) {
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Settings")), browser(), ignored(), password()));
  return {};
}

function browser() {
  const zone = h("input", { type: "checkbox", id: "utc", checked: utc() });
  zone.addEventListener("change", () => setUtc(zone.checked));
  const bell = h("input", { type: "checkbox", id: "bell", checked: localStorage.getItem("notify") === "on" });
  bell.addEventListener("change", async () => {
    if (bell.checked && (!("Notification" in window) || (await Notification.requestPermission()) !== "granted")) {
      bell.checked = false;
      toast("The browser does not allow notifications of this page. Allow them in its settings first.");
    }
    localStorage.setItem("notify", bell.checked ? "on" : "off");
  });
  return h("section", { class: "stack" }, h("h2", {}, "This browser"),
    h("p", {}, h("label", { for: "utc" }, zone, " Show times in UTC")),
    h("p", {}, h("label", { for: "bell" }, bell, " Desktop notification for new incidents while this page is in the background")),
    h("p", { class: "hint" }, "Light or dark follows the system."));
}

function password() {
  const problem = h("div");
  const field = (id, label, complete) => h("p", {}, h("label", { for: id }, label), h("input", { id, name: id, type: "password", required: true, minlength: id === "current" ? null : 12, maxlength: 200, autocomplete: complete }));
  const form = h("form", { class: "stack" }, h("h2", {}, "Password"), h("input", { type: "text", name: "username", autocomplete: "username", value: "admin", hidden: true }), field("current", "Present password", "current-password"), field("fresh", "New password, at least 12 characters", "new-password"), field("again", "New password again", "new-password"), problem, h("p", {}, h("button", { class: "first" }, "Change password")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { current, fresh, again } = form.elements;
    if (fresh.value !== again.value) return problem.replaceChildren(failure("The password was not changed.", new Error("The two new passwords differ.")));
    try {
      await pagePost("password", { current: current.value, fresh: fresh.value });
      form.reset();
      problem.replaceChildren();
      toast("The password is changed. Other sessions are signed out.");
    } catch (error) {
      problem.replaceChildren(failure("The password was not changed.", error));
    }
  });
  return form;
}
