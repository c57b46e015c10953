//! Statuses that the server sends by itself, their words and their pages.

/// What ends a request without the site being asked, or the site's plain answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    MovedPermanently,
    BadRequest,
    /// 400 with its own page: a header line too long, or all of them.
    HeaderTooLarge,
    /// 400 with its own page: HTTP in the clear where TLS is spoken.
    ToHttps,
    Unauthorized,
    Forbidden,
    NotFound,
    NotAllowed,
    PreconditionFailed,
    BodyTooLarge,
    UriTooLarge,
    RangeNotSatisfiable,
    NotImplemented,
    VersionNotSupported,
    /// More fields than are taken.
    TooManyFields,
    ExpectationFailed,
    LengthRequired,
    /// The method is no token.
    BadVerb,
    /// The target can't be a path.
    BadUrl,
    /// The host can't be one.
    BadHost,
    /// HTTP/1.1 without a host.
    MissingHost,
    TooManyHosts,
    /// A field's name is no token.
    BadHeader,
    /// A field's value holds control characters.
    BadValue,
    /// The body's size is none.
    BadLength,
    /// A transfer coding that isn't known.
    CodingNotImplemented,
}

impl Status {
    /// Code and phrase of the status line.
    pub(crate) const fn line(self) -> (u16, &'static str) {
        match self {
            Self::MovedPermanently => (301, "Moved Permanently"),
            Self::BadRequest
            | Self::HeaderTooLarge
            | Self::ToHttps
            | Self::TooManyFields
            | Self::BadVerb
            | Self::BadUrl
            | Self::BadHost
            | Self::MissingHost
            | Self::TooManyHosts
            | Self::BadHeader
            | Self::BadValue
            | Self::BadLength => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::NotAllowed => (405, "Not Allowed"),
            Self::LengthRequired => (411, "Length Required"),
            Self::PreconditionFailed => (412, "Precondition Failed"),
            Self::BodyTooLarge => (413, "Request Entity Too Large"),
            Self::UriTooLarge => (414, "Request-URI Too Large"),
            Self::RangeNotSatisfiable => (416, "Requested Range Not Satisfiable"),
            Self::ExpectationFailed => (417, "Expectation Failed"),
            Self::NotImplemented | Self::CodingNotImplemented => (501, "Not Implemented"),
            Self::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }

    /// The page nginx builds, `padded` for browsers that hide short error pages.
    pub(crate) fn page(self, server: &str, padded: bool) -> Vec<u8> {
        let (code, phrase) = self.line();
        let (title, detail) = match self {
            Self::HeaderTooLarge => (
                "400 Request Header Or Cookie Too Large".to_owned(),
                "<center>Request Header Or Cookie Too Large</center>\r\n",
            ),
            Self::ToHttps => (
                "400 The plain HTTP request was sent to HTTPS port".to_owned(),
                "<center>The plain HTTP request was sent to HTTPS port</center>\r\n",
            ),
            Self::Unauthorized => ("401 Authorization Required".to_owned(), ""),
            _ => (format!("{code} {phrase}"), ""),
        };
        let heading = if detail.is_empty() {
            title.clone()
        } else {
            format!("{code} {phrase}")
        };
        let mut page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{heading}</h1></center>\r\n{detail}<hr><center>{server}</center>\r\n\
             </body>\r\n</html>\r\n"
        );
        if padded && code >= 400 {
            for _ in 0..6 {
                page.push_str(
                    "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n",
                );
            }
        }
        page.into_bytes()
    }
}
