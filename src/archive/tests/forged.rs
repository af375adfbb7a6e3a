//! Archives written by hand, so that they can say anything.

/// An entry as its two headers tell it; equal unless told apart.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) name: Vec<u8>,
    pub(super) local_name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) local_method: u16,
    pub(super) crc32: u32,
    pub(super) size: u64,
    pub(super) stored_size: u64,
    pub(super) mode: u16,
    pub(super) data: Vec<u8>,
    /// Instead of where it is.
    pub(super) header: Option<u32>,
    pub(super) extra: Vec<u8>,
}

impl Forged {
    /// A stored file that tells the truth.
    pub(super) fn stored(name: &str, content: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        Self {
            name: name.into(),
            local_name: name.into(),
            flags: 0,
            method: 0,
            local_method: 0,
            crc32: crc.sum(),
            size: content.len() as u64,
            stored_size: content.len() as u64,
            mode: 0o100_644,
            data: content.to_vec(),
            header: None,
            extra: Vec::new(),
        }
    }

    /// A deflated file that tells the truth.
    pub(super) fn deflated(name: &str, content: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, content).expect("in memory");
        let data = encoder.finish().expect("in memory");
        Self { method: 8, local_method: 8, stored_size: data.len() as u64, data, ..Self::stored(name, content) }
    }
}

/// The end record.
#[derive(Default)]
pub(super) struct End {
    pub(super) disk: u16,
    pub(super) entries: Option<u16>,
    pub(super) bytes: Option<u32>,
    pub(super) offset: Option<u32>,
    pub(super) comment: Vec<u8>,
}

/// Writes an archive.
pub(super) fn forge(entries: &[Forged]) -> Vec<u8> {
    forge_with(entries, &End::default())
}

pub(super) fn forge_with(entries: &[Forged], end: &End) -> Vec<u8> {
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let header = entry.header.unwrap_or(u32::try_from(zip.len()).expect("small"));
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(entry.flags.to_le_bytes());
        zip.extend(entry.local_method.to_le_bytes());
        zip.extend([0; 4]);
        zip.extend(entry.crc32.to_le_bytes());
        zip.extend(small(entry.stored_size));
        zip.extend(small(entry.size));
        zip.extend(length(&entry.local_name));
        zip.extend([0; 2]);
        zip.extend(&entry.local_name);
        zip.extend(&entry.data);

        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(entry.flags.to_le_bytes());
        directory.extend(entry.method.to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(entry.crc32.to_le_bytes());
        directory.extend(small(entry.stored_size));
        directory.extend(small(entry.size));
        directory.extend(length(&entry.name));
        directory.extend(length(&entry.extra));
        directory.extend([0; 8]);
        directory.extend(entry.mode.to_le_bytes());
        directory.extend(header.to_le_bytes());
        directory.extend(&entry.name);
        directory.extend(&entry.extra);
    }
    let offset = end.offset.unwrap_or(u32::try_from(zip.len()).expect("small"));
    let bytes = end.bytes.unwrap_or(u32::try_from(directory.len()).expect("small"));
    let count = end.entries.unwrap_or(u16::try_from(entries.len()).expect("few"));
    zip.extend(directory);
    zip.extend(b"PK\x05\x06");
    zip.extend(end.disk.to_le_bytes());
    zip.extend(end.disk.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(bytes.to_le_bytes());
    zip.extend(offset.to_le_bytes());
    zip.extend(length(&end.comment));
    zip.extend(&end.comment);
    zip
}
