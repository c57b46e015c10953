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
