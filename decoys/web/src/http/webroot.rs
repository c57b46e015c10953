//! Pages of the operator's own: a folder or a zip archive, read whole when the service is built.
//! What can't be served as it is is a fault, never left out in silence.

use std::io::{Cursor, Read};
use std::path::Path;

use coalmine_core::Timestamp;
use coalmine_core::settings::FilePath;

/// Files.
const MAX_FILES: usize = 2_000;
/// One file, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// All files together, and an archive as it lies there, in bytes.
const MAX_TOTAL: u64 = 32 * 1024 * 1024;
/// Folders inside each other.
const MAX_DEPTH: usize = 16;
/// One path, in bytes.
const MAX_PATH: usize = 512;

/// The file type in the mode bits that archives of Unix keep, and a symbolic link's.
const FILE_TYPE: u32 = 0o170_000;
const SYMBOLIC_LINK: u32 = 0o120_000;

/// A page, or what belongs to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnFile {
    /// Begins with `/`.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// Unknown for files of an archive.
    pub(super) modified: Option<Timestamp>,
}

/// All files at `path`; none where it's empty. The error says what is wrong and what would be right.
pub(super) fn read(path: &FilePath) -> Result<Option<Vec<OwnFile>>, String> {
    if path.0.is_empty() {
        return Ok(None);
    }
    let root = Path::new(&path.0);
    let meta = std::fs::metadata(root)
        .map_err(|cause| format!("{} can't be read: {cause}", root.display()))?;
    let mut all = Files::default();
    if meta.is_dir() {
        all.folder(root, "", 0)?;
    } else {
        let packed = all.content(root, MAX_TOTAL)?;
        all.archive(&packed)
            .map_err(|problem| format!("{}: {problem}", root.display()))?;
    }
    let is_index = |file: &OwnFile| {
        let name = file.path.to_ascii_lowercase();
        matches!(name.as_str(), "/index.html" | "/index.htm" | "/default.htm")
    };
    if !all.files.iter().any(is_index) {
        return Err(format!(
            "{} holds no index.html at its top; put the first page there under that name",
            root.display()
        ));
    }
    Ok(Some(all.files))
}

/// Files as they gather, within bounds.
#[derive(Default)]
struct Files {
    files: Vec<OwnFile>,
    total: u64,
}

impl Files {
    /// All of a folder, which lies `above` under the root.
    fn folder(&mut self, folder: &Path, above: &str, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "{} lies more than {MAX_DEPTH} folders deep",
                folder.display()
            ));
        }
        let unread = |cause| format!("{} can't be read: {cause}", folder.display());
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unread)? {
            entries.push(entry.map_err(unread)?.path());
            if entries.len() > MAX_FILES {
                return Err(format!(
                    "{} holds more than {MAX_FILES} files",
                    folder.display()
                ));
            }
        }
        entries.sort();
        for entry in entries {
            let shown = entry.display().to_string();
            let name = entry
                .file_name()
                .and_then(|name| name.to_str())
                .ok_or_else(|| format!("{shown} has a name that isn't UTF-8; rename it"))?;
            let path = format!("{above}/{name}");
            let meta = std::fs::symlink_metadata(&entry)
                .map_err(|cause| format!("{shown} can't be read: {cause}"))?;
            if meta.is_dir() {
                check_name(&path)?;
                self.folder(&entry, &path, depth.saturating_add(1))?;
            } else if meta.is_file() {
                check_name(&path)?;
                let body = self.content(&entry, MAX_FILE)?;
                let since = meta
                    .modified()
                    .ok()
                    .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                let modified = since
                    .and_then(|since| i64::try_from(since.as_secs()).ok())
                    .map(Timestamp::from_secs);
                self.add(path, body, modified)?;
            } else {
                return Err(format!(
                    "{shown} is a symbolic link or no ordinary file; put the file itself there"
                ));
            }
        }
        Ok(())
    }

    /// The content of a file of at most `most` bytes.
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "the operator's own pages, named in the settings and read once, within bounds"
    )]
    fn content(&self, file: &Path, most: u64) -> Result<Vec<u8>, String> {
        let unread = |cause| format!("{} can't be read: {cause}", file.display());
        let mut content = Vec::new();
        std::fs::File::open(file)
            .map_err(unread)?
            .take(most.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(unread)?;
        if size(&content) > most {
            return Err(format!("{} is larger than {most} bytes", file.display()));
        }
        Ok(content)
    }

    /// All of a zip archive. Sizes are those of what comes out, whatever the archive says of itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "an entry is read within the bounds of a file"
    )]
    fn archive(&mut self, packed: &[u8]) -> Result<(), String> {
        let mut archive = zip::ZipArchive::new(Cursor::new(packed)).map_err(|cause| {
            format!("is neither a folder nor a zip archive that can be read: {cause}")
        })?;
        if archive.len() > MAX_FILES {
            return Err(format!("holds more than {MAX_FILES} files"));
        }
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|cause| {
                format!("entry {index} can't be read ({cause}); pack it with deflate and without a password")
            })?;
            let name = std::str::from_utf8(entry.name_raw())
                .map_err(|_| format!("entry {index} has a name that isn't UTF-8; rename it"))?
                .to_owned();
            let path = format!("/{}", name.trim_end_matches('/'));
            check_name(&path)?;
            if entry.is_dir() {
                continue;
            }
            let mode = entry.unix_mode().unwrap_or(0);
            if mode & FILE_TYPE == SYMBOLIC_LINK {
                return Err(format!("{name} is a symbolic link; pack the file itself"));
            }
            let mut body = Vec::new();
            entry
                .take(MAX_FILE.saturating_add(1))
                .read_to_end(&mut body)
                .map_err(|cause| format!("{name} can't be unpacked: {cause}"))?;
            if size(&body) > MAX_FILE {
                return Err(format!("{name} is larger than {MAX_FILE} bytes"));
            }
            if self.files.iter().any(|file| file.path == path) {
                return Err(format!("{name} is there twice"));
            }
            self.add(path, body, None)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: String,
        body: Vec<u8>,
        modified: Option<Timestamp>,
    ) -> Result<(), String> {
        self.total = self.total.saturating_add(size(&body));
        if self.total > MAX_TOTAL {
            return Err(format!(
                "all files together are larger than {MAX_TOTAL} bytes"
            ));
        }
        if self.files.len() >= MAX_FILES {
            return Err(format!("there are more than {MAX_FILES} files"));
        }
        self.files.push(OwnFile {
            content_type: content_type(&path),
            path,
            body,
            modified,
        });
        Ok(())
    }
}

/// Whether `path`, which begins with `/`, can be served under its name.
fn check_name(path: &str) -> Result<(), String> {
    let names: Vec<&str> = path.split('/').skip(1).collect();
    if path.len() > MAX_PATH || names.len() > MAX_DEPTH.saturating_add(1) {
        return Err(format!(
            "{path:?} is longer than {MAX_PATH} bytes or lies more than {MAX_DEPTH} folders deep"
        ));
    }
    for name in names {
        let odd = name.is_empty()
            || name == "."
            || name == ".."
            || name
                .chars()
                .any(|c| c.is_control() || "\\:*?\"<>|".contains(c));
        if odd {
            return Err(format!(
                "{path:?} has a name that isn't served; names have no control characters and none of \\ : * ? \" < > |, and aren't empty, . or .."
            ));
        }
        if name.starts_with('.') && name != ".well-known" {
            return Err(format!("{path:?} is hidden; take it away or rename it"));
        }
    }
    Ok(())
}

/// What a file's ending says of its content.
fn content_type(path: &str) -> &'static str {
    let ending = path
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match ending.as_str() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "application/javascript",
        "json" | "map" => "application/json",
        "xml" => "text/xml",
        "txt" | "md" => "text/plain",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

fn size(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn at(path: &Path) -> FilePath {
        FilePath(path.to_str().unwrap().to_owned())
    }

    #[expect(clippy::disallowed_methods, reason = "a test lays files out")]
    fn put(path: &Path, content: impl AsRef<[u8]>) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn packed(entries: &[(&str, &[u8], Option<u32>)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, body, mode) in entries {
            let mut options = zip::write::SimpleFileOptions::default();
            if let Some(mode) = mode {
                options = options.unix_permissions(*mode);
            }
            writer.start_file(*name, options).unwrap();
            writer.write_all(body).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn fault(path: &Path) -> String {
        read(&at(path)).unwrap_err()
    }

    #[test]
    fn nothing_named_is_nothing_read_and_what_is_missing_is_told() {
        assert_eq!(read(&FilePath::default()), Ok(None));
        assert!(fault(Path::new("/no/such/folder")).starts_with("/no/such/folder can't be read: "));
    }

    #[test]
    fn a_folder_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fault(dir.path()).contains("holds no index.html at its top"));
        put(&dir.path().join("index.html"), "<p>x");
        put(&dir.path().join("a/b/site.CSS"), "p{}");
        let files = read(&at(dir.path())).unwrap().unwrap();
        let told: Vec<_> = files
            .iter()
            .map(|f| (f.path.as_str(), f.content_type))
            .collect();
        assert_eq!(
            told,
            [("/a/b/site.CSS", "text/css"), ("/index.html", "text/html")]
        );
        assert!(files.iter().all(|f| f.modified.is_some()));

        put(&dir.path().join(".git/HEAD"), "x");
        assert!(fault(dir.path()).contains("\"/.git\" is hidden"));
    }

    #[test]
    fn links_depth_size_and_number_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("index.html"), "x");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("passwd")).unwrap();
        assert!(fault(dir.path()).contains("is a symbolic link"));
        std::fs::remove_file(dir.path().join("passwd")).unwrap();

        put(&dir.path().join("big"), vec![0; 8 * 1024 * 1024 + 1]);
        assert!(fault(dir.path()).contains("big is larger than 8388608 bytes"));
        std::fs::remove_file(dir.path().join("big")).unwrap();

        for n in 0..5 {
            put(
                &dir.path().join(format!("part{n}")),
                vec![0; 7 * 1024 * 1024],
            );
        }
        assert!(fault(dir.path()).contains("all files together are larger"));
        for n in 0..5 {
            std::fs::remove_file(dir.path().join(format!("part{n}"))).unwrap();
        }

        let deep = vec!["d"; 18].join("/");
        put(&dir.path().join(&deep).join("x"), "x");
        assert!(fault(dir.path()).contains("folders deep"));
    }

    #[test]
    fn an_archive_is_read_and_its_tricks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.zip");
        let index: (&str, &[u8], Option<u32>) = ("index.html", b"<p>x", None);
        put(&file, packed(&[index, ("img/a.png", b"p", None)]));
        let files = read(&at(&file)).unwrap().unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1].path, "/img/a.png");

        for (entry, problem) in [
            (("../etc/passwd", b"x".as_slice(), None), "isn't served"),
            (("/etc/passwd", b"x", None), "isn't served"),
            (("a\\b", b"x", None), "isn't served"),
            ((".htpasswd", b"x", None), "is hidden"),
        ] {
            put(&file, packed(&[index, entry]));
            assert!(fault(&file).contains(problem), "{}", fault(&file));
        }
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        writer.add_symlink("a", "/etc/passwd", options).unwrap();
        put(&file, writer.finish().unwrap().into_inner());
        assert!(
            fault(&file).contains("is a symbolic link"),
            "{}",
            fault(&file)
        );

        let bomb = vec![0; 9 * 1024 * 1024];
        put(&file, packed(&[index, ("bomb", &bomb, None)]));
        assert!(fault(&file).contains("bomb is larger than 8388608 bytes"));
        let many = vec![0; 8 * 1024 * 1024];
        let names = ["a", "b", "c", "d", "e"];
        let mut entries = vec![index];
        entries.extend(names.iter().map(|name| (*name, many.as_slice(), None)));
        put(&file, packed(&entries));
        assert!(fault(&file).contains("all files together are larger"));

        put(&file, "no archive");
        assert!(fault(&file).contains("neither a folder nor a zip archive"));
    }
}
