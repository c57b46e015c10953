//! Tokens on the page, in a real browser.

use serde_json::{Value, json};

use crate::nest::{Nest, QUICK};
use crate::page::in_browser;

/// What the page is driven by.
const SCRIPT: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/view.py"),
    include_str!("../python/page_tokens.py")
);
/// What settings and the list beside others are driven by.
const SETTINGS: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/view.py"),
    include_str!("../python/page_token_settings.py")
);
/// What an identity provider gives of itself.
const METADATA: &str = "<EntityDescriptor xmlns='urn:oasis:names:tc:SAML:2.0:metadata' \
    entityID='http://idp.example/app'></EntityDescriptor>";
/// A picture of one pixel.
const PICTURE: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0x60, 0x60, 0x60, 0, 0, 0, 5, 0, 1, 0xa5, 0xf6, 0x45, 0x40, 0, 0, 0, 0,
    b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

#[test]
fn a_token_from_the_gallery_to_its_end_in_the_browser() {
    let nest = Nest::start(QUICK);
    let picture = nest.dir.path().join("logo.png");
    std::fs::write(&picture, PICTURE).unwrap();
    let task = json!({
        "http_port": nest.run["tokens"]["http_port"],
        "picture": picture,
    });
    let Some(seen) = in_browser(&nest, SCRIPT, task) else {
        return;
    };
    let has = |name: &str, part: &str| {
        let text = seen[name].as_str();
        let text = text.unwrap_or_else(|| panic!("no {name} in {seen:#}"));
        assert!(text.contains(part), "{name} lacks {part:?}: {text}");
    };
    has("empty", "No token yet");

    let kinds = nest.api("canarytokens/list")["canarytokens"].clone();
    assert_eq!(seen["kinds"], kinds.as_object().unwrap().len(), "{seen:#}");
    assert_eq!(
        seen["groups"],
        json!([
            "Files and folders",
            "Links, pages and pictures",
            "Mail and shared documents",
            "Keys, clusters and cards",
            "Names, machines and networks"
        ])
    );
    has("off", "set wireguard_port in [tokens]");
    assert_eq!(seen["found"], json!(["AWS S3 Bucket"]));
    assert_eq!(seen["address"], "?q=bucket+S3");

    has("wrong", "3 to 63 lower-case letters");
    assert_eq!(seen["right"], "");
    assert_eq!(seen["refused"], 1, "that answer alone: {seen:#}");
    assert_eq!(seen["at_fault"], "s3_source_bucket");
    assert_eq!(seen["picture"], "The picture that is the token");

    has("made", "It is armed. Now place it.");
    assert_eq!(seen["memo"], "in the wiki <b>page</b>", "it stays text");
    assert_eq!(seen["copied"], true);
    has("works", "It works. Noticed ");
    has("works", " s after you began, from 127.");
    has("hit", "Chrome");
    has("timeline", "Touches of this token: 1 events");

    has("off_says", "Its incident stays as it is.");
    has("after_off", "Touched once");
    has("after_on", "Touched 2 times");
    assert_eq!(seen["focus_after_edit"], "Change the reminder");
    has("first", "in the wiki, page Backups");
    has("first", "Touched 2 times");
    has("searched", "logo of the intranet");
    has("none_off", "Nothing matches");
    has("delete_says", "will be deleted with it");
    assert_eq!(seen["focus_in_dialog"], "Cancel", "the safe answer");
    assert_eq!(seen["focus_after_dialog"], "Delete…");
    assert_eq!(seen["left"], 1);

    let widths = seen["widths"].as_array().unwrap();
    assert_eq!(widths.len(), 4);
    let wide = |view: &&Value| view[1].as_u64().is_none_or(|width| width > 360);
    assert_eq!(widths.iter().find(wide), None, "cut off on a phone");
    assert_eq!(seen["console"], json!([]), "the browser has no complaint");
    let left = nest.api("canarytokens/fetch");
    assert_eq!(left["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(
        nest.count("Canarytoken triggered"),
        0,
        "deleted with it: {left}"
    );
}

#[test]
fn what_is_set_of_tokens_counts_and_others_are_seen_at_work() {
    let nest = Nest::start(QUICK);
    let metadata = nest.dir.path().join("metadata.xml");
    std::fs::write(&metadata, METADATA).unwrap();
    let task = json!({
        "http_port": nest.run["tokens"]["http_port"],
        "metadata": metadata,
    });
    let Some(seen) = in_browser(&nest, SETTINGS, task) else {
        return;
    };
    let has = |name: &str, part: &str| {
        let text = seen[name].as_str();
        let text = text.unwrap_or_else(|| panic!("no {name} in {seen:#}"));
        assert!(text.contains(part), "{name} lacks {part:?}: {text}");
    };

    assert_eq!(seen["redirect_shown"], "http://one.example/");
    assert_eq!(seen["redirect_buttons"], 0, "it must lead somewhere");
    has("redirect_refused", "It was not saved.");
    has("redirect_wrong", "Takes a whole URL");
    assert_eq!(seen["redirect_focus"], "set-redirect");
    has("redirect_said", "Saved: ");
    assert_eq!(seen["redirect_right"], "", "no longer wrong");
    let two = "http://two.example/x";
    assert_eq!(seen["redirect"], json!([two, 302, two]));
    assert_eq!(seen["may_first"], json!([200, null]));
    let three = "http://three.example/";
    assert_eq!(seen["may_set"], json!([three, 302, three]));
    has("may_said", "nobody is sent elsewhere");
    assert_eq!(seen["may_none"], json!(["", 200, null]));
    assert_eq!(seen["plain"], false, "nothing to set, nothing shown");

    for (list, wrong, saved, shown) in [
        (
            "clonedsite",
            Some("is no regular expression"),
            "^http://a/,^b$",
            "^http://a/\n^b$",
        ),
        ("s3bucket", None, "arn:a* arn:b", "arn:a*\narn:b"),
    ] {
        let mut steps = seen["lists"][list].as_array().unwrap().iter();
        let mut next = || steps.next().unwrap();
        if let Some(wrong) = wrong {
            assert!(next().as_str().unwrap().contains(wrong), "{seen:#}");
        }
        assert_eq!(next(), "Saved: 2 entries count.");
        assert_eq!(next(), &json!({"enabled": "true", "ignores": saved}));
        assert_eq!((next(), next()), (&json!(shown), &json!(shown)));
        assert_eq!(next(), "Saved: the list does not count.");
        assert_eq!(next(), &json!({"enabled": "false", "ignores": ""}));
    }

    has("provider_needs", "metadata must be saved before");
    has("provider_said", "this provider alone");
    assert_eq!(seen["provider"][0], json!(["http://idp.example/app", true]));
    let shown = seen["provider"][1].as_str().unwrap();
    assert!(shown.contains("http://idp.example/app"), "{shown}");
    has("provider_forgot", "every login makes an incident");
    assert_eq!(seen["provider_gone"], json!([null, false]));
    assert_eq!(seen["provider_off"], false, "the box follows");
    has("provider_wrong", "It must be SAML 2.0 metadata");
    let pasted = "http://pasted.example/";
    assert_eq!(seen["provider_pasted"], json!([pasted, false]));
    assert_eq!(seen["provider_again"], json!([pasted, false]));

    has("domains_wrong", "A line is no domain");
    has("domains_said", "new tokens may live in them");
    let domains = ["docs.example.org", "files.example.org"];
    assert_eq!(seen["domains"], json!([domains, true]));
    assert_eq!(seen["domains_shown"], domains.join("\n"));
    has("own", "http://docs.example.org");
    has("root_said", "it is shown");
    let page = "<h1>Under <b>work</b></h1>";
    assert_eq!(seen["root"], json!([200, null, page]));
    assert_eq!(seen["root_shown"], page, "it stays text");
    assert_eq!(seen["root_off"], true);
    assert_eq!(seen["domains_none"], json!([[], false]));

    // All that there were but the oldest, which is deleted; the part again without it and its line.
    assert_eq!(seen["many"], json!([50, 54, 50]));
    assert_eq!(seen["many_new"], "1 new or moved up");
    has("many_gone", "many 54.");
    assert_eq!(seen["many_left"], false, "its line goes with the next load");

    assert_eq!(seen["rows"], json!(["listed c", "listed b", "listed a"]));
    assert_eq!(seen["focus"], true, "on the line that was redrawn");
    assert_eq!(seen["pill"], "1 new");
    assert_eq!(seen["told"], "Tokens: 1 new.");
    has("gone", "listed c");
    assert_eq!(seen["moved"].as_f64(), Some(0.0), "nothing moves");
    assert_eq!(
        (&seen["focus_after"], &seen["still"]),
        (&json!(true), &json!(true))
    );
    has("selected", "listed b, renamed");
    has("pressed", "listed a, too");
    has("opened", "listed a, pressed");
    has("renamed", "listed a, opened");
    has("disabled", "Switched off");
    assert_eq!(seen["ping"], "heard");
    has("deleted", "somebody deleted it");
    assert_eq!(
        seen["after"],
        json!(["listed a", "listed b", "listed d", "listed e"])
    );
    assert_eq!(seen["focus_new"], true);

    let widths = seen["widths"].as_array().unwrap();
    assert_eq!(widths.len(), 6);
    assert!(
        widths.iter().all(|wide| wide.as_u64() <= Some(360)),
        "{widths:?}"
    );
    assert_eq!(seen["complaints"], 5, "answers that refuse: {seen:#}");
    assert_eq!(seen["console"], json!([]), "the browser has no complaint");
}
