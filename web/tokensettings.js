// What may be set on a token that is placed: where it leads, whom it ignores, whom it believes.
import { field, form, lines } from "./forms.js";
import { h } from "./dom.js";
import { get, post } from "./api.js";
import { inert } from "./text.js";

// The lists of harmless touches, by the API's name: between which marks its entries stand.
const LISTS = {
  clonedsite: {
    title: "Ignored sites", name: "Sites that may have the page", between: /[,\n]/, mark: ",",
    hint: "One a line: regular expressions on the address of the copy, without commas, e.g. ^http://staging\\.example\\.com/",
    about: "A copy on such a site is known to be harmless: a staging system, an archive. It makes no incident.",
  },
  s3bucket: {
    title: "Ignored identities", name: "Identities that may read it", between: /\s/, mark: " ",
    hint: "One a line: whole ARNs, * for any text, e.g. arn:aws:sts::*:assumed-role/backup/*",
    about: "What such an identity does with the bucket is known to be harmless: a backup, an inventory. It makes no incident.",
  },
};

/** The forms of this token, none for most kinds. `changed(token)` is told what it is like then. */
export async function tokenSettings(token, kind, changed) {
  const { canarytoken, flock_id } = token;
  const again = async () => changed((await get("canarytoken/fetch", { canarytoken })).token);
  const asks = (name) => (kind.asks ?? []).find((ask) => ask.name === name);
  const forms = [];

  const leads = asks("browser_redirect_url");
  if (leads) {
    const url = h("input", { type: "url", required: true, maxlength: leads.max, autocomplete: "off", value: token.browser_redirect_url });
    const save = async (at) => {
      await at(url, post("canarytoken/update/redirect_url", { canarytoken, redirect_url: url.value.trim() }));
      await again();
      return "Saved: whoever opens it from now on is sent there.";
    };
    const none = async (at) => {
      await at(url, post("canarytoken/remove/redirect_url", { canarytoken }));
      await again();
      url.value = "";
      return "Saved: nobody is sent elsewhere.";
    };
    forms.push(form("Where it leads", "", [field("set-redirect", "Address", url, leads.doc)], save, ...(leads.required ? [] : [["Send nobody elsewhere", none]])));
  }

  if (kind.ignores) {
    const { title, name, between, mark, hint, about } = LISTS[kind.ignores], path = (what) => `canarytokens/${kind.ignores}/ignorelist/${what}`;
    const split = (text) => text.split(between).map((entry) => entry.trim()).filter(Boolean);
    const { ignore_lists: set } = await get(path("fetch"), { flock_id, canarytoken });
    const list = lines(split(set.ignores).join("\n"), { maxlength: 10_000, class: "code" }), on = h("input", { type: "checkbox", checked: set.enabled === "true" });
    forms.push(form(title, about, [field("set-ignores", name, list, hint), field("set-ignoring", "This list counts", on, "Off: it is kept, and every touch makes an incident.")], async (at) => {
      const sent = list.value, entries = split(sent);
      await at(list, post(path("save"), { flock_id, canarytoken, ignores: entries.join(mark) }));
      await at(on, post(path(on.checked ? "enable" : "disable"), { flock_id, canarytoken }));
      if (list.value === sent) list.value = entries.join("\n");
      return on.checked ? `Saved: ${entries.length === 1 ? "one entry counts" : `${entries.length} entries count`}.` : "Saved: the list does not count.";
    }));
  }

  if (asks("idp_app_type")) {
    const there = h("span"), file = h("input", { type: "file", accept: ".xml,text/xml,application/xml,application/samlmetadata+xml" }), text = lines("", { rows: 3, class: "code" }), on = h("input", { type: "checkbox" });
    const show = (now) => {
      there.replaceChildren(...now.metadata_entity_id ? ["Saved with this token: the metadata of ", inert(now.metadata_entity_id), "."] : ["None is saved with this token."]);
      on.checked = now.validation_enabled === true;
      file.value = text.value = "";
      changed(now);
    };
    const fresh = async () => show((await get("canarytoken/fetch", { canarytoken })).token);
    const save = async (at) => {
      // The API takes a file; what is pasted becomes one.
      const metadata = file.files[0] ?? (text.value.trim() && new File([text.value], "metadata.xml"));
      if (metadata) await at(file.files[0] ? file : text, post("canarytokens/idp-app/metadata/save", { canarytoken, metadata }));
      await at(on, post(`canarytokens/idp-app/validation/${on.checked ? "enable" : "disable"}`, { canarytoken }));
      await fresh();
      return on.checked ? "Saved: logins of this provider alone make incidents." : "Saved: every login makes an incident.";
    };
    const forget = async (at) => {
      await at(file, post("canarytokens/idp-app/metadata/save", { canarytoken }));
      await fresh();
      return "Forgotten: every login makes an incident.";
    };
    show(token);
    forms.push(form("Identity provider", ["Metadata of the provider whose users see this application. ", there], [field("set-metadata", "Metadata, as a file", file, "SAML 2.0, as the provider gives it for download."), field("set-pasted", "Or pasted here", text),
      field("set-validation", "Believe this provider alone", on, "A login that names another provider then makes no incident.")], save, ["Forget the metadata", forget]));
  }
  return forms;
}
