//! Cloned Website: a script that tells when its page is shown by another site.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, ArtefactFile, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel,
    TokenKind, Trip,
};
use serde_json::{Map, Value, json};

use crate::files::Dice;
use crate::sites;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "cloned-web",
    title: "Cloned Website",
    description: "Cloned Website",
    doc: "A few lines of JavaScript for a page of yours that is worth copying, such as a login.\n\
          Put them into the page, best among other scripts. As long as the page is shown by your own \
          site they do nothing; shown by any other they tell where.\n\
          Whoever prepares to phish your people usually copies the page first, script and all: the \
          incident shows the copy's address, often before the first mail is sent.\n\
          A careful attacker takes scripts out; the kind for style sheets is harder to notice.\n\
          If your page is served over HTTPS the token must be too: browsers block the request \
          otherwise.",
    group: Group::Web,
    trial: "Show a page with the script under another name, or `curl '{url}?l=https://copy.example/'`.",
    logtype: 17003,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: SITE,
        doc: "The host name that the page is truly served from, e.g. www.example.com; names below \
              it count as true too.",
        required: true,
        takes: Takes::Text(2_048),
    }],
    event: &[
        Field {
            name: SITE,
            shape: Shape::String,
            optional: false,
            doc: "The true site, as its owner gave it.",
            sample: || json!("www.example.com"),
        },
        Field {
            name: "cloned_site",
            shape: Shape::String,
            optional: true,
            doc: "Where the copy was shown.",
            sample: || json!("https://www.examp1e.com/login"),
        },
        Field {
            name: "original_site",
            shape: Shape::String,
            optional: false,
            doc: "The true site's host.",
            sample: || json!("www.example.com"),
        },
        Field {
            name: "referer",
            shape: Shape::String,
            optional: true,
            doc: "Where the visitor of the copy came from.",
            sample: || json!("https://mail.example.net/"),
        },
    ],
    mint,
    trip,
};

const SITE: &str = "cloned_web";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let given = mint.param(SITE).unwrap_or_default();
    let site = sites::given(given).map_err(|problem| vec![Fault::new(SITE, problem)])?;
    let url = mint.url("gif");
    let mut dice = Dice::new(&mint.seed, "script");
    let script = script(&mut dice, &site, &url);
    let name = format!(
        "{}.js",
        dice.pick(&["app", "site", "main", "common", "ui", "menu"])
    );
    Ok(Artefact {
        fields: Map::from_iter([(SITE.to_owned(), Value::from(given.trim()))]),
        renders: [(KIND.id.to_owned(), script.clone())].into(),
        file: Some(ArtefactFile {
            name,
            mime: "text/javascript",
            bytes: script.into_bytes(),
        }),
        ..Artefact::default()
    })
}

/// The script. Names are drawn, so that no text of it is the same in all.
fn script(dice: &mut Dice, site: &str, url: &str) -> String {
    let mut names = ["w", "n", "q", "u", "t", "o", "e", "v", "k", "z"];
    dice.shuffle(&mut names);
    let [host, image, ..] = names;
    let (first, second) = match dice.chance(50) {
        true => (
            "l=\" + encodeURIComponent(location.href)",
            "r=\" + encodeURIComponent(document.referrer)",
        ),
        false => (
            "r=\" + encodeURIComponent(document.referrer)",
            "l=\" + encodeURIComponent(location.href)",
        ),
    };
    let (open, close) = match dice.chance(50) {
        true => ("(function () {", "})();"),
        false => ("!function () {", "}();"),
    };
    format!(
        "{open}\n  var {host} = location.hostname.toLowerCase();\n  \
         if ({host} === \"{site}\" || {host}.slice(-{length}) === \".{site}\") return;\n  \
         var {image} = new Image();\n  {image}.src = \"{url}?{first} + \"&{second};\n{close}\n",
        length = site.len().saturating_add(1),
    )
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let given = token.fields.get(SITE).and_then(Value::as_str);
    let given = given.unwrap_or_default();
    let mut fields = Map::new();
    let mut put = |name: &str, value: &str| {
        fields.insert(name.to_owned(), Value::String(text::cut(value)));
    };
    put(SITE, given);
    put("original_site", &sites::host(given));
    if let Hit::Http(hit) = hit {
        if let Some(location) = hit.argument("l") {
            put("cloned_site", location);
        }
        if let Some(referrer) = hit.argument("r") {
            put("referer", referrer);
        }
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::HttpHit;

    use super::*;
    use crate::tests::{minted, minted_by, request, token};

    #[test]
    fn the_script_knows_the_site_and_no_two_are_alike() {
        let one = minted_by(1, &KIND, &[(SITE, "https://Www.Example.com/login")], &[]).unwrap();
        let script = &one.renders["cloned-web"];
        assert!(script.contains("=== \"www.example.com\" ||"), "{script}");
        assert!(
            script.contains(".slice(-16) === \".www.example.com\""),
            "{script}"
        );
        assert!(script.contains("\"https://tokens.example.com/"), "{script}");
        assert_eq!(one.file.unwrap().bytes, script.as_bytes());
        let two = minted_by(2, &KIND, &[(SITE, "www.example.com")], &[]).unwrap();
        let lines = |script: &str| script.lines().map(str::to_owned).collect::<Vec<_>>();
        let (one, two) = (lines(script), lines(&two.renders["cloned-web"]));
        assert_ne!(one, two);
    }

    #[test]
    fn a_site_that_would_break_out_of_the_script_is_refused() {
        let faults = minted(&KIND, &[(SITE, "x\"; alert(1); \"")]).unwrap_err();
        assert_eq!(faults[0].key, SITE);
    }

    #[test]
    fn the_copy_and_its_visitors_way_are_told() {
        let query = [
            ("l".to_owned(), "https://evil.example/login".to_owned()),
            ("r".to_owned(), "https://mail.example/".to_owned()),
        ];
        let hit = HttpHit {
            query: &query,
            ..request()
        };
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(hit));
        assert_eq!(trip.fields["cloned_site"], "https://evil.example/login");
        assert_eq!(trip.fields["referer"], "https://mail.example/");
        assert_eq!(trip.fields["original_site"], "x");
        assert!(trip.alert && trip.answer == Answer::Plain);
    }
}
