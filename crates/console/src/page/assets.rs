//! The page's files, embedded. Their address holds a hash of all of them, so a browser may keep
//! them for ever and still gets new ones after an update.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;
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

/// The files as they go over the wire (RFC 1952). They hold no secrets that lengths could betray.
static PACKED: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let packed = Files::iter().filter_map(|name| Some((name.to_string(), pack(&name)?)));
    packed.collect()
});

fn pack(name: &str) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&Files::get(name)?.data).ok()?;
    packer.finish().ok()
}

/// One file, packed for browsers that unpack.
pub async fn serve(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
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
    let unpacks = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.split(',').any(|one| one.trim() == "gzip"));
    let packed = PACKED.get(&name).filter(|_| unpacks);
    let body = match packed {
        Some(packed) => Body::from(packed.as_slice()),
        None => Body::from(file.data.into_owned()),
    };
    let mut response = answer::with(
        StatusCode::OK,
        &[
            (header::CONTENT_TYPE, mime),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (header::VARY, "Accept-Encoding"),
        ],
        body,
    );
    if packed.is_some() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What design allows the whole page on the wire.
    const MAX_PAGE: usize = 100 * 1024;

    async fn sent(name: &str, encodings: &str) -> (Response<()>, Vec<u8>) {
        let version = BASE.strip_prefix("/assets/").unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, encodings.parse().unwrap());
        let response = serve(Path((version, name.to_owned())), headers).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, ()), bytes.to_vec())
    }

    #[tokio::test]
    async fn the_whole_page_is_small_on_the_wire_and_comes_whole() {
        let mut total = 0;
        for name in Files::iter() {
            let (response, packed) = sent(&name, "deflate, gzip, br").await;
            assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            total += packed.len();
            let mut whole = Vec::new();
            let mut unpacker = flate2::read::GzDecoder::new(&*packed);
            std::io::Read::read_to_end(&mut unpacker, &mut whole).unwrap();
            let (response, plain) = sent(&name, "identity").await;
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
            assert_eq!(plain, whole);
            assert_eq!(plain, &*Files::get(&name).unwrap().data);
        }
        assert!(total > 10_000, "files are missing");
        assert!(total < MAX_PAGE * 3 / 5, "{total} bytes");
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
