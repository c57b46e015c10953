//! The skins there are; their files lie in `skins/`.

use super::Look;
use super::skin::Skin;

/// The skin of a setting.
pub(super) const fn of(look: Look) -> &'static Skin {
    match look {
        Look::Nas => &NAS,
        Look::Basic => &BASIC,
        Look::Router => &ROUTER,
    }
}

macro_rules! file {
    ($path:literal) => {
        include_bytes!(concat!("../../skins/", $path))
    };
}

macro_rules! page {
    ($path:literal) => {
        include_str!(concat!("../../skins/", $path))
    };
}

const HTML: &str = "text/html";
const CSS: &str = "text/css";
const JS: &str = "application/javascript";
const SVG: &str = "image/svg+xml";
const ICO: &str = "image/x-icon";
const TXT: &str = "text/plain";

/// A network storage.
static NAS: Skin = Skin {
    name: "nasLogin",
    files: &[
        ("/assets/app.{{hash}}.css", CSS, file!("nasLogin/app.css")),
        (
            "/assets/login.{{jshash}}.js",
            JS,
            file!("nasLogin/login.js"),
        ),
        ("/assets/logo.svg", SVG, file!("nasLogin/logo.svg")),
        ("/favicon.ico", ICO, file!("nasLogin/favicon.ico")),
        ("/robots.txt", TXT, b"User-agent: *\nDisallow: /\n"),
        ("/error/404.html", HTML, file!("nasLogin/404.html")),
    ],
    front: page!("nasLogin/login.html"),
    fronts: &["/", "/login"],
    api: Some("/api/v2/session"),
    message: "The account or the password is incorrect.",
    missing: Some("/error/404.html"),
    realm: Some(("/dav", "Merevault WebDAV")),
    cookie: "mv_session",
    fields: &[
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "SAMEORIGIN"),
    ],
    versions: &["6.2.1", "6.2.4", "6.3.0", "6.3.2"],
};

/// A plain login page without a vendor.
static BASIC: Skin = Skin {
    name: "basicLogin",
    files: &[
        (
            "/static/style.{{hash}}.css",
            CSS,
            file!("basicLogin/style.css"),
        ),
        ("/static/form.js", JS, file!("basicLogin/form.js")),
        ("/static/mark.svg", SVG, file!("basicLogin/mark.svg")),
        ("/favicon.ico", ICO, file!("basicLogin/favicon.ico")),
    ],
    front: page!("basicLogin/login.html"),
    fronts: &["/", "/login", "/index.html"],
    api: None,
    message: "Invalid user name or password.",
    missing: None,
    realm: None,
    cookie: "sid",
    fields: &[],
    versions: &["1"],
};

/// A router.
static ROUTER: Skin = Skin {
    name: "routerLogin",
    files: &[
        ("/css/main.css", CSS, file!("routerLogin/main.css")),
        ("/js/login.js", JS, file!("routerLogin/login.js")),
        ("/img/logo.svg", SVG, file!("routerLogin/logo.svg")),
        ("/favicon.ico", ICO, file!("routerLogin/favicon.ico")),
        ("/err/404.html", HTML, file!("routerLogin/404.html")),
    ],
    front: page!("routerLogin/login.html"),
    fronts: &["/", "/login.cgi", "/index.html"],
    api: None,
    message: "Wrong user name or password. Check the label on the device for the initial password.",
    missing: Some("/err/404.html"),
    realm: Some(("/cgi-bin/", "Tarnlink TR2600")),
    cookie: "TLSESS",
    fields: &[("X-Frame-Options", "DENY")],
    versions: &["3.0.14", "3.0.16", "3.1.2"],
};
