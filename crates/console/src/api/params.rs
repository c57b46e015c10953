//! Parameters: from the query and from the body, on every method, the first value wins.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use coalmine_core::text;
use coalmine_core::token::{MAX_FILE, MAX_FILE_NAME, Upload};
use serde_json::Value;

use super::answer::ApiError;

/// Largest request body, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The same where files may be uploaded: one of the largest kind, and room for the form around it.
pub const MAX_UPLOAD_BODY: usize = MAX_FILE + MAX_BODY;
/// Most uploaded files of one request.
const MAX_FILES: usize = 8;
/// Most parameters of one request.
const MAX_PARAMS: usize = 256;
/// Longest parameter name, in bytes.
const MAX_NAME: usize = 128;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    texts: BTreeMap<String, String>,
    files: BTreeMap<String, Upload>,
}

impl Params {
    /// Reads the query and a body in any of the forms that clients send: urlencoded (also where
    /// no type is stated), multipart with files, or a flat JSON object.
    ///
    /// # Errors
    /// 400 where the body can't be read or there are too many parameters.
    pub async fn read(
        query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Self, ApiError> {
        let mut params = Self::default();
        params.add_urlencoded(query.unwrap_or_default().as_bytes())?;
        if body.is_empty() {
            return Ok(params);
        }
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        if kind.starts_with("multipart/form-data") {
            params.add_multipart(headers, body).await?;
        } else if kind.starts_with("application/json") {
            params.add_json(&body)?;
        } else {
            params.add_urlencoded(&body)?;
        }
        Ok(params)
    }

    /// The value of `name`, also if it's empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// The value of `name`, if it has one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Gives `name` a value if it has none.
    pub fn fall_back(&mut self, name: &str, value: &str) {
        if self.text(name).is_none() {
            self.texts.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Puts another value in place of the one given.
    pub fn set(&mut self, name: &str, value: &str) {
        self.texts.insert(name.to_owned(), value.to_owned());
    }

    /// An uploaded file.
    pub fn file(&self, name: &str) -> Option<&Upload> {
        self.files.get(name)
    }

    /// All texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    fn add_urlencoded(&mut self, text: &[u8]) -> Result<(), ApiError> {
        for (name, value) in form_urlencoded::parse(text) {
            self.add(&name, value.into_owned())?;
        }
        Ok(())
    }

    async fn add_multipart(&mut self, headers: &HeaderMap, body: Bytes) -> Result<(), ApiError> {
        let unreadable = |_| ApiError::bad("Could not process the parameters");
        let boundary = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| multer::parse_boundary(value).ok())
            .ok_or_else(|| ApiError::bad("Could not process the parameters"))?;
        let stream = futures_util::stream::once(async { Ok::<_, std::io::Error>(body) });
        let mut form = multer::Multipart::new(stream, boundary);
        while let Some(field) = form.next_field().await.map_err(unreadable)? {
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let mime = field.content_type().map(ToString::to_string);
            let bytes = field.bytes().await.map_err(unreadable)?;
            match file_name {
                None => self.add(&name, String::from_utf8_lossy(&bytes).into_owned())?,
                // How browsers send a field for files that was left empty.
                Some(file_name) if file_name.is_empty() && bytes.is_empty() => {}
                Some(file_name) => self.add_file(
                    name,
                    Upload {
                        name: plain_name(&file_name),
                        mime: mime.unwrap_or_default(),
                        bytes: bytes.to_vec(),
                    },
                )?,
            }
        }
        Ok(())
    }

    fn add_file(&mut self, param: String, file: Upload) -> Result<(), ApiError> {
        if self.files.contains_key(&param) {
            return Ok(());
        }
        if self.files.len() >= MAX_FILES || param.len() > MAX_NAME {
            return Err(ApiError::bad("Too many parameters"));
        }
        self.files.insert(param, file);
        Ok(())
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            return Err(ApiError::bad("The JSON body must be an object"));
        };
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::String(text) => self.add(&name, text)?,
                other => self.add(&name, other.to_string())?,
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        if self.texts.contains_key(name) {
            return Ok(());
        }
        if self.texts.len() >= MAX_PARAMS || name.len() > MAX_NAME {
            return Err(ApiError::bad("Too many parameters"));
        }
        self.texts.insert(name.to_owned(), value);
        Ok(())
    }
}

/// A file's name without folders, as one line.
fn plain_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    text::printable(name.as_bytes())
        .chars()
        .take(MAX_FILE_NAME)
        .collect()
}

/// Reads a yes or no as clients write it.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(query: &str, kind: &str, body: &str) -> Result<Params, ApiError> {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        Params::read(Some(query), &headers, Bytes::from(body.to_owned())).await
    }

    #[tokio::test]
    async fn the_first_value_wins_and_the_query_comes_first() {
        let params = read("a=1&a=2", "", "a=3&b=4+5%21").await.unwrap();
        assert_eq!(
            params.iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "4 5!")]
        );
        assert_eq!(params.get("c"), None);
        let params = read("a=", "", "").await.unwrap();
        assert_eq!((params.get("a"), params.text("a")), (Some(""), None));
    }

    #[tokio::test]
    async fn multipart_and_json_bodies_are_read() {
        let body = "--X\r\nContent-Disposition: form-data; name=\"memo\"\r\n\r\nhello\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"web_image\"; filename=\"C:\\a.png\"\r\nContent-Type: image/png\r\n\r\n\x01\x02\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"\"\r\n\r\n\r\n--X--\r\n";
        let params = read("", "multipart/form-data; boundary=X", body)
            .await
            .unwrap();
        assert_eq!(params.iter().collect::<Vec<_>>(), [("memo", "hello")]);
        let file = params.file("web_image").unwrap();
        assert_eq!((&*file.name, &*file.mime), ("a.png", "image/png"));
        assert_eq!(file.bytes, [1, 2]);
        let params = read("", "application/json", r#"{"a": 1, "b": "x", "c": null}"#)
            .await
            .unwrap();
        assert_eq!(params.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "x")]);
    }

    #[tokio::test]
    async fn bad_bodies_are_refused() {
        for (kind, body) in [
            ("multipart/form-data", "x"),
            ("multipart/form-data; boundary=X", "--X\r\nnonsense"),
            ("application/json", "[1]"),
            ("application/json", "{"),
        ] {
            let error = read("", kind, body).await.unwrap_err();
            assert_eq!(error.status, 400, "{kind} {body}");
        }
        let many: String = (0..300).map(|n| format!("p{n}=1&")).collect();
        assert_eq!(
            read(&many, "", "").await.unwrap_err().message,
            "Too many parameters"
        );
    }

    #[test]
    fn booleans_come_in_many_spellings() {
        for yes in ["True", "true", "1", "YES"] {
            assert_eq!(parse_bool(yes), Some(true));
        }
        for no in ["False", "0", "no"] {
            assert_eq!(parse_bool(no), Some(false));
        }
        assert_eq!(parse_bool("maybe"), None);
    }
}
