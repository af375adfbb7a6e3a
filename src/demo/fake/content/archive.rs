//! Zip archives of `artifacts:paths`: a few real ones shared by many jobs, each made the job's own by a comment.

use std::io::{Cursor, Write as _};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An archive as a job stores it.
#[derive(Debug, Clone)]
pub struct Archive {
    bytes: Bytes,
    /// Whether the job's number is appended as the zip's comment, so that no two jobs have equal archives.
    labelled: bool,
}

/// Length of the label: `job ` and a number padded to 20 digits, so that the size does not depend on the number.
const LABEL_BYTES: u16 = 24;

impl Archive {
    /// Exactly these bytes, which need not be a zip.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), labelled: false }
    }

    /// A zip with these files, deflated.
    ///
    /// # Errors
    ///
    /// Fails when a name is refused by the zip format, for instance a repeated one.
    pub fn zip<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> std::io::Result<Self> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, content) in files {
            writer.start_file(name, options)?;
            writer.write_all(content)?;
        }
        Ok(Self { bytes: writer.finish()?.into_inner().into(), labelled: false })
    }

    /// Makes `count` archives of 3 to 8 files and about 5 to 100 kB each, to be shared by many jobs; each job's copy
    /// differs from all others by its comment.
    pub(crate) fn pool(count: u64, seed: u64) -> std::io::Result<Vec<Self>> {
        (0..count).map(|number| Self::generated(seed.wrapping_add(number), number, count)).collect()
    }

    fn generated(seed: u64, number: u64, count: u64) -> std::io::Result<Self> {
        const NAMES: [&str; 8] = [
            "dist/app.js",
            "dist/app.css",
            "coverage/index.html",
            "reports/build.json",
            "logs/größe.txt",
            "bin/tide",
            "bin/tide.sha256",
            "shots/login.png",
        ];
        let mut random = fastrand::Rng::with_seed(seed);
        let target_bytes = 5_000 + usize::try_from(95_000 * number / count.max(1)).unwrap_or(0);
        let files = random.usize(3..=8);
        let contents: Vec<(&str, Vec<u8>)> = NAMES
            .iter()
            .take(files)
            .map(|name| {
                // Half noise, half a repeated line: deflate has something to do, and the zip keeps about this size.
                let mut content: Vec<u8> =
                    std::iter::repeat_with(|| random.u8(..)).take(target_bytes / files).collect();
                content.extend(b"slack water at the harbour mouth\n".repeat(content.len() / 33));
                (*name, content)
            })
            .collect();
        let zip = Self::zip(contents.iter().map(|(name, content)| (*name, content.as_slice())))?;
        Ok(Self { labelled: true, ..zip })
    }

    /// Returns the size in bytes as GitLab lists it.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + if self.labelled { usize::from(LABEL_BYTES) } else { 0 }
    }

    /// Returns the archive of the job with this number.
    pub(crate) fn render(&self, job_id: u64) -> Bytes {
        // The last two bytes of a zip without comment are the comment's length.
        match self.bytes.len().checked_sub(2) {
            Some(end) if self.labelled => {
                let mut zip = Vec::with_capacity(self.size_bytes());
                zip.extend_from_slice(self.bytes.get(..end).unwrap_or_default());
                zip.extend_from_slice(&LABEL_BYTES.to_le_bytes());
                zip.extend_from_slice(format!("job {job_id:020}").as_bytes());
                zip.into()
            }
            _ => self.bytes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_archive_is_a_whole_zip_of_the_listed_size_and_differs_per_job() {
        let pool = Archive::pool(4, 9).expect("zips in memory");
        for archive in &pool {
            let (one, other) = (archive.render(1), archive.render(2));
            assert_eq!(one.len(), archive.size_bytes());
            assert_ne!(one, other);
            let mut zip = zip::ZipArchive::new(Cursor::new(one)).expect("a zip");
            assert!((3..=8).contains(&zip.len()));
            for index in 0..zip.len() {
                let mut file = zip.by_index(index).expect("an entry");
                std::io::copy(&mut file, &mut std::io::sink()).expect("a sound checksum");
            }
        }
    }
}
