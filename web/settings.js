// Settings of this browser, of tokens and of the account.
import { failure, h, toast } from "./dom.js";
import { get, pagePost, post } from "./api.js";
import { field, form, lines } from "./forms.js";
import { ignored } from "./ignore.js";
import { setUtc, utc } from "./time.js";

export const title = "Settings";

/** Mounts the view. */
export function open(root) {
  root.replaceChildren(h("div", { class: "page" }, h("header", {}, h("h1", {}, "Settings")), browser(), ignored(), tokens(), password()));
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

/** Where tokens may live, and what stands at the root of their URLs. */
function tokens() {
  const box = h("section", { class: "stack" }), switched = (path, on) => post(`settings/canarytokens/${path}/${on.checked ? "enable" : "disable"}`);
  const tick = (checked) => h("input", { type: "checkbox", checked });

  async function load() {
    try {
      const [set, { dns }] = await Promise.all([get("settings"), get("canarytokens/dns")]), { module_options: more } = set;
      const list = lines(more.canarytokens_user_domains, { maxlength: 10_000, class: "code" }), may = tick(set.canarytokens_user_domains_enable);
      const saveDomains = async (at) => {
        // The API takes no empty text, and leaves out empty lines.
        const sent = list.value;
        await at(list, post("settings/canarytokens/user_domains/save", { user_domains: sent.trim() || "\n" }), "A line is no domain such as docs.example.com, or there are more than 100.");
        await at(may, switched("user_domains", may));
        const { user_domains: now } = await get("settings/canarytokens/user_domains/list");
        if (list.value === sent) list.value = now.join("\n");
        return !may.checked ? "Saved: new tokens do not live in them." : now.length === 0 ? "Saved: there is none." : `Saved: new tokens may live in ${now.length === 1 ? "it" : "them"}.`;
      };
      const root = lines(more.canarytokens_webroot, { maxlength: 262_144, class: "code" }), shown = tick(set.canarytokens_webroot_enable);
      let kept = root.value;
      const saveRoot = async (at) => {
        const text = root.value;
        if (text !== kept) await at(root, post("settings/canarytokens/webroot/save", { webroot: text }));
        kept = text;
        await at(shown, switched("webroot", shown));
        return shown.checked ? "Saved: it is shown." : "Saved: the usual picture is shown.";
      };
      box.replaceChildren(h("h2", {}, "Tokens"),
        form("Domains of your own", ["Whoever sees a token in one suspects nothing. Each must be delegated to this Console: an NS record where the domain above it is kept, leading to ", h("bdi", {}, dns.public_address), ". ", h("code", {}, "coalmine tokens check-dns"), " prints the records and tests them."],
          [field("own-domains", "Domains", list, "One a line, e.g. docs.example.com"), field("own-domains-on", "New tokens may live in them", may, "Off: those that do already go on.")], saveDomains),
        form("Page at the root", "Whoever cuts a token's address down to its host sees this page.", [field("webroot", "Page, as HTML", root, "Everybody who asks sees it; it makes no incident."), field("webroot-on", "Show this page", shown, "Off: the usual picture is shown.")], saveRoot));
    } catch (error) {
      box.replaceChildren(h("h2", {}, "Tokens"), failure("The settings of tokens could not be loaded.", error, load));
    }
  }

  load();
  return box;
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
