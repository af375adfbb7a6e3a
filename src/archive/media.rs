//! What a browser is told that a file is.

/// Returns the media type of a file by its name, for files that jobs make; `application/octet-stream` for all others.
pub fn media_type(path: &[u8]) -> &'static str {
    let path = String::from_utf8_lossy(path);
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match &*extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" | "sarif" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "txt" | "log" | "md" | "csv" | "tsv" | "yml" | "yaml" | "toml" | "ini" | "diff" | "patch" | "out" | "lcov" => {
            "text/plain; charset=utf-8"
        }
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_type() {
        for (path, media) in [
            ("coverage/index.HTML", "text/html; charset=utf-8"),
            ("a.b/README", "application/octet-stream"),
            ("dist/app.tar.gz", "application/gzip"),
            (".log", "text/plain; charset=utf-8"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(media_type(path.as_bytes()), media, "{path}");
        }
    }
}
