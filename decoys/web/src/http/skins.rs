//! The skins there are; their files lie in `skins/`.

use super::Look;
use super::persona::Persona;
use super::skin::Skin;

/// The skin of a setting.
pub(super) const fn of(look: Look) -> &'static Skin {
    match look {
        Look::Nas => &NAS,
        Look::Basic => &BASIC,
        Look::Router => &ROUTER,
        Look::Apache => &APACHE,
        Look::Iis => &IIS,
        Look::Docker => &DOCKER,
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
const PNG: &str = "image/png";
const TXT: &str = "text/plain";

/// A network storage.
static NAS: Skin = Skin {
    name: "nasLogin",
    persona: Persona::Nginx,
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
    engine: false,
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
    persona: Persona::Nginx,
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
    engine: false,
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
    persona: Persona::Nginx,
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
    engine: false,
    message: "Wrong user name or password. Check the label on the device for the initial password.",
    missing: Some("/err/404.html"),
    realm: Some(("/cgi-bin/", "Tarnlink TR2600")),
    cookie: "TLSESS",
    fields: &[("X-Frame-Options", "DENY")],
    versions: &["3.0.14", "3.0.16", "3.1.2"],
};

/// A freshly installed Apache on Debian, with one folder behind a password.
static APACHE: Skin = Skin {
    name: "apacheDefault",
    persona: Persona::Apache,
    files: &[
        ("/index.html", HTML, file!("apacheDefault/index.html")),
        (
            "/icons/openlogo-75.png",
            PNG,
            file!("apacheDefault/openlogo-75.png"),
        ),
    ],
    realm: Some(("/admin/", "Restricted Content")),
    ..NO_APPLICATION
};

/// A freshly installed IIS on Windows Server, with one folder behind a password.
static IIS: Skin = Skin {
    name: "iisStart",
    persona: Persona::Iis,
    files: &[
        ("/iisstart.htm", HTML, file!("iisStart/iisstart.htm")),
        ("/iisstart.png", PNG, file!("iisStart/iisstart.png")),
    ],
    realm: Some(("/admin/", "{{name}}")),
    fields: &[("X-Powered-By", "ASP.NET")],
    ..NO_APPLICATION
};

/// A Docker engine that listens to everybody.
static DOCKER: Skin = Skin {
    name: "dockerApi",
    persona: Persona::Go,
    engine: true,
    ..NO_APPLICATION
};

const NO_APPLICATION: Skin = Skin {
    name: "",
    persona: Persona::Nginx,
    files: &[],
    front: "",
    fronts: &[],
    api: None,
    engine: false,
    message: "",
    missing: None,
    realm: None,
    cookie: "",
    fields: &[],
    versions: &["1"],
};
