//! What the two kinds share that a style sheet carries: the browser itself says in `Referer` whose
//! page the style belongs to.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{Answer, Artefact, ArtefactFile, Hit, Mint, Token, Trip};
use serde_json::{Map, Value, json};

use crate::files::Dice;
use crate::sites;

/// The parameter with the true site.
pub const EXPECTED: &str = "expected_referrer";

/// What such kinds add to the event.
pub const FIELDS: &[Field] = &[
    Field {
        name: "cloned_site",
        shape: Shape::String,
        optional: false,
        doc: "Whose page showed the style: its address as far as the browser tells.",
        sample: || json!("https://www.examp1e.com/"),
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
        optional: false,
        doc: "The header `Referer`, as sent.",
        sample: || json!("https://www.examp1e.com/"),
    },
];

/// A style sheet with one rule for `selectors`, of which one is drawn.
///
/// # Errors
/// When what the owner gave is no site.
pub fn mint(
    mint: &Mint<'_>,
    kind: &str,
    expected: &str,
    selectors: &[&'static str],
) -> Result<Artefact, Vec<Fault>> {
    let site = sites::given(expected).map_err(|problem| vec![Fault::new(EXPECTED, problem)])?;
    let mut dice = Dice::new(&mint.seed, "style");
    let extension = dice.pick(&["png", "gif", "svg", "jpg"]);
    let url = mint.url(extension);
    let selector = dice.pick(selectors);
    let rule = match dice.number(0, 3) {
        0 => format!("{selector} {{\n  background: url(\"{url}\") no-repeat -9px -9px;\n}}\n"),
        1 => format!("{selector} {{\n  background-image: url('{url}');\n}}\n"),
        _ => format!("{selector} {{ background: transparent url({url}) }}\n"),
    };
    let name = format!(
        "{}.css",
        dice.pick(&["style", "theme", "brand", "layout", "main", "base"])
    );
    Ok(Artefact {
        fields: Map::from_iter([(EXPECTED.to_owned(), Value::from(site))]),
        renders: [(kind.to_owned(), rule.clone())].into(),
        file: Some(ArtefactFile {
            name,
            mime: "text/css",
            bytes: rule.into_bytes(),
        }),
        ..Artefact::default()
    })
}

/// An alert where the browser names another site. Where it names none (people may forbid that to
/// their browsers) nobody can tell, so nothing is said: the true site's visitors would trip it.
pub fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let expected = token.fields.get(EXPECTED).and_then(Value::as_str);
    let expected = expected.unwrap_or_default();
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let Some(referer) = hit.header("referer").filter(|referer| !referer.is_empty()) else {
        return Trip::silent(Answer::Plain);
    };
    if sites::is_of(&sites::host(referer), expected) {
        return Trip::silent(Answer::Plain);
    }
    let told = Value::String(text::cut(referer));
    let fields = Map::from_iter([
        ("cloned_site".to_owned(), told.clone()),
        ("original_site".to_owned(), Value::from(expected)),
        ("referer".to_owned(), told),
    ]);
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::HttpHit;

    use super::*;
    use crate::cloned_css::KIND;
    use crate::tests::{minted, request, token};

    fn touched(referer: Option<&str>) -> Trip {
        let mut token = token(&KIND);
        let fields = minted(&KIND, &[(EXPECTED, "login.example.com")])
            .unwrap()
            .fields;
        token.fields = fields;
        let headers: Vec<_> = referer
            .map(|referer| ("Referer".to_owned(), referer.to_owned()))
            .into_iter()
            .collect();
        let hit = HttpHit {
            headers: &headers,
            ..request()
        };
        trip(&token, &Hit::Http(hit))
    }

    #[test]
    fn another_sites_page_alerts() {
        for referer in [
            "https://evil.example/",
            "https://login.example.com.evil.example/",
            "not a url",
        ] {
            let trip = touched(Some(referer));
            assert!(trip.alert, "{referer}");
            assert_eq!(trip.fields["cloned_site"], referer);
            assert_eq!(trip.fields["original_site"], "login.example.com");
        }
    }

    #[test]
    fn the_true_site_and_browsers_that_tell_nothing_are_silent() {
        for referer in [
            None,
            Some(""),
            Some("https://login.example.com/"),
            Some("https://eu.login.example.com:8443/x"),
        ] {
            assert!(!touched(referer).alert, "{referer:?}");
        }
    }
}
