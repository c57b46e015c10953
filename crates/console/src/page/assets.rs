//! The page's files, embedded. Their address holds a hash of all of them, so a browser may keep
//! them for ever and still gets new ones after an update.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode, header};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::answer;

#[derive(RustEmbed)]
#[folder = "../../web"]
struct Files;

/// `/assets/<hash>`, without a slash at the end.
pub static BASE: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for name in Files::iter() {
        hash.update(name.as_bytes());
        if let Some(file) = Files::get(&name) {
            hash.update(file.metadata.sha256_hash());
        }
    }
    let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
    format!("/assets/{}", hash.get(..16).unwrap_or(&hash))
});

/// One file.
pub async fn serve(Path((version, name)): Path<(String, String)>) -> Response<Body> {
    if BASE.strip_prefix("/assets/") != Some(version.as_str()) {
        return answer::plain(StatusCode::NOT_FOUND, "Not found.");
    }
    let mime = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => return answer::plain(StatusCode::NOT_FOUND, "Not found."),
    };
    let Some(file) = Files::get(&name) else {
        return answer::plain(StatusCode::NOT_FOUND, "Not found.");
    };
    answer::with(
        StatusCode::OK,
        &[
            (header::CONTENT_TYPE, mime),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ],
        Body::from(file.data.into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What design allows the whole page on the wire.
    const MAX_PAGE: usize = 100 * 1024;

    #[test]
    fn the_whole_page_stays_small() {
        let total: usize = Files::iter()
            .filter_map(|name| Files::get(&name))
            .map(|file| file.data.len())
            .sum();
        assert!(total > 10_000, "files are missing");
        assert!(total < MAX_PAGE, "{total} bytes");
    }

    #[test]
    fn scripts_build_no_markup_from_text_and_load_nothing_from_elsewhere() {
        for name in Files::iter() {
            let data = Files::get(&name).unwrap().data;
            let text = String::from_utf8_lossy(&data);
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "https://",
            ] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
