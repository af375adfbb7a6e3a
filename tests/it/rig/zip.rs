//! Zips with any names, of any number of files, as the archiver of GitLab's runner writes them: Go's, which takes names as the
//! file system has them.

/// A file as a zip holds it.
#[derive(Clone)]
pub(crate) struct Packed {
    method: u16,
    crc32: u32,
    size: u32,
    data: Vec<u8>,
}

impl Packed {
    /// As it is.
    pub(crate) fn stored(content: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let size = u32::try_from(content.len()).expect("small");
        Self { method: 0, crc32: crc.sum(), size, data: content.to_vec() }
    }

    /// So many MiB of zeros, deflated: 1,029 to 1.
    pub(crate) fn zeros(mib: usize) -> Self {
        let zeros = vec![0; 1 << 20];
        let mut crc = flate2::Crc::new();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        for _ in 0..mib {
            crc.update(&zeros);
            std::io::Write::write_all(&mut encoder, &zeros).expect("in memory");
        }
        let size = u32::try_from(mib << 20).expect("below 4 GiB");
        Self { method: 8, crc32: crc.sum(), size, data: encoder.finish().expect("in memory") }
    }

    /// Returns how many bytes it takes.
    pub(crate) fn stored_size(&self) -> usize {
        self.data.len()
    }
}

/// Makes a zip of files by their names, with a zip64 record where there are too many for another.
pub(crate) fn zip<N: AsRef<[u8]>>(files: impl IntoIterator<Item = (N, Packed)>) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).expect("below 4 GiB").to_le_bytes();
    let (mut zip, mut directory, mut count) = (Vec::new(), Vec::new(), 0_usize);
    for (name, file) in files {
        let name = name.as_ref();
        let mut shared = Vec::from([0; 6]);
        shared[2..4].copy_from_slice(&file.method.to_le_bytes());
        shared.extend([0; 2]);
        shared.extend(file.crc32.to_le_bytes());
        shared.extend(number(file.data.len()));
        shared.extend(file.size.to_le_bytes());
        shared.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        shared.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&shared);
        directory.extend([0; 8]);
        directory.extend(0o100_644_u16.to_le_bytes());
        directory.extend(number(zip.len()));
        directory.extend(name);
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(&shared);
        zip.extend(name);
        zip.extend(&file.data);
        count += 1;
    }
    let (offset, bytes) = (zip.len(), directory.len());
    zip.extend(directory);
    let few = u16::try_from(count).unwrap_or(u16::MAX);
    if few == u16::MAX {
        let record = zip.len() as u64;
        zip.extend(b"PK\x06\x06");
        zip.extend(44_u64.to_le_bytes());
        zip.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [count, count, bytes, offset].iter().for_each(|value| zip.extend((*value as u64).to_le_bytes()));
        zip.extend(b"PK\x06\x07\0\0\0\0");
        zip.extend(record.to_le_bytes());
        zip.extend([1, 0, 0, 0]);
    }
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend(few.to_le_bytes());
    zip.extend(few.to_le_bytes());
    zip.extend(number(bytes));
    zip.extend(number(offset));
    zip.extend([0; 2]);
    zip
}
