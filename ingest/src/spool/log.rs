//! The files of the spool: segments of frames, oldest first.
//!
//! A frame is the length of its body (u32), the body's xxh3 (u64), both little-endian, and the body (postcard). Invariant:
//! a segment's length counts what was synced; what lies beyond, a crash left there, and nobody was told that it is kept.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A segment that is as long is followed by another. It is read as a whole, and sent once more after a crash.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
const HEAD: usize = 12;
const LOCK: &str = "lock";

/// A record as it goes to Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spooled<'a> {
    /// Name of the topic, with prefix.
    pub topic: Cow<'a, str>,
    /// Key.
    pub key: Cow<'a, [u8]>,
    /// Value.
    pub value: Cow<'a, [u8]>,
    /// Names and values of headers.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The frame of a record.
pub(super) fn frame(record: &Spooled<'_>) -> Vec<u8> {
    let mut frame = vec![0; HEAD];
    // Writing into memory does not fail.
    frame = postcard::to_extend(record, frame).unwrap_or_default();
    if let Some((head, body)) = frame.split_at_mut_checked(HEAD) {
        let length = (body.len() as u32).to_le_bytes();
        let hash = xxh3_64(body).to_le_bytes();
        for (to, from) in head.iter_mut().zip(length.into_iter().chain(hash)) {
            *to = from;
        }
    }
    frame
}

struct Segment {
    number: u64,
    length: u64,
}

/// The segments of a directory.
pub(super) struct Log {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    /// The last segment, if this process made it.
    open: Option<File>,
    next: u64,
    _lock: File,
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.segment"))
}

impl Log {
    /// Takes a directory, and what is there.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        // What waits here are requests as they came, names and addresses of people among them.
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock = File::create(dir.join(LOCK))?;
        lock.try_lock()
            .map_err(|error| io::Error::other(format!("another process uses it ({error})")))?;
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
            if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
                segments.push(Segment {
                    number,
                    length: entry.metadata()?.len(),
                });
            }
        }
        segments.sort_by_key(|segment| segment.number);
        Ok(Self {
            dir: dir.to_owned(),
            next: segments.last().map_or(0, |last| last.number + 1),
            segments: segments.into(),
            open: None,
            _lock: lock,
        })
    }

    /// Bytes of all segments.
    pub(super) fn used(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Number and length of the oldest segment.
    pub(super) fn head(&self) -> Option<(u64, u64)> {
        self.segments.front().map(|first| (first.number, first.length))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds frames and syncs them. After an error they are not there.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let added = self.add(frames);
        if added.is_err() {
            // Whatever the disk has of it lies beyond the segment's length; the next one is another file.
            if let (Some(file), Some(last)) = (self.open.take(), self.segments.back()) {
                file.set_len(last.length).ok();
            }
            // One without a record says nothing. A full disk would get one more with each attempt.
            if let Some(empty) = self.segments.pop_back_if(|last| last.length == 0) {
                std::fs::remove_file(path(&self.dir, empty.number)).ok();
            }
        }
        added
    }

    fn add(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.open.is_none()
            || self
                .segments
                .back()
                .is_none_or(|last| last.length >= SEGMENT_BYTES)
        {
            let number = self.next;
            self.next += 1;
            let file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(path(&self.dir, number))?;
            // The file's name must be there after a crash, too.
            File::open(&self.dir)?.sync_all()?;
            self.open = Some(file);
            self.segments.push_back(Segment { number, length: 0 });
        }
        if let (Some(file), Some(last)) = (&mut self.open, self.segments.back_mut()) {
            file.write_all(frames)?;
            file.sync_data()?;
            last.length += frames.len() as u64;
        }
        Ok(())
    }

    /// Takes the oldest segment away if it is `number` and no longer than `drained`: for good, or, if not all of it could
    /// be read, aside for people to look at. Gives the bytes that are free now.
    pub(super) fn remove(&mut self, number: u64, drained: u64, is_damaged: bool) -> io::Result<Option<u64>> {
        let is_drained = |first: &Segment| first.number == number && first.length <= drained;
        if !self.segments.front().is_some_and(is_drained) {
            return Ok(None);
        }
        let path = path(&self.dir, number);
        if is_damaged {
            std::fs::rename(&path, path.with_extension("damaged"))?;
        } else {
            std::fs::remove_file(&path)?;
        }
        let freed = self.segments.pop_front().map(|first| first.length);
        if self.segments.is_empty() {
            self.open = None;
        }
        Ok(freed)
    }
}

/// The records of a segment from `from` to `to`, and whether that is all there was. What cannot be read is told and passed
/// over, so that what lies behind it is not kept back.
pub(super) fn read(dir: &Path, number: u64, from: u64, to: u64) -> io::Result<(Vec<Spooled<'static>>, bool)> {
    let mut is_whole = true;
    let mut bytes = vec![0; to.saturating_sub(from) as usize];
    File::open(path(dir, number))?.read_exact_at(&mut bytes, from)?;
    let mut records = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let framed = head(rest).and_then(|(size, hash, rest)| Some((hash, rest.split_at_checked(size)?)));
        let Some((hash, (body, after))) = framed else {
            // Torn by a crash before anybody was told that it is kept, or damaged since.
            damaged(number, "the rest of a segment");
            is_whole = false;
            break;
        };
        match postcard::from_bytes(body) {
            Ok(record) if xxh3_64(body) == hash => records.push(record),
            _ => {
                damaged(number, "a record");
                is_whole = false;
            }
        }
        rest = after;
    }
    Ok((records, is_whole))
}

/// Size and hash of the body that follows, and what follows.
fn head(bytes: &[u8]) -> Option<(usize, u64, &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    Some((
        u32::from_le_bytes(*size) as usize,
        u64::from_le_bytes(*hash),
        rest,
    ))
}

fn damaged(segment: u64, what: &str) {
    tracing::error!(segment, "spool: {what} cannot be read and is passed over");
    metrics::counter!("edge_spool_damaged_total").increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8) -> Spooled<'static> {
        Spooled {
            topic: "p.tracks".into(),
            key: vec![n].into(),
            value: vec![n; 100].into(),
            headers: vec![("mode".into(), "live".into())],
        }
    }

    fn written(dir: &Path) -> (u64, u64) {
        let mut log = Log::open(dir).unwrap();
        for n in 0..3 {
            log.append(&frame(&record(n))).unwrap();
        }
        log.head().unwrap()
    }

    #[test]
    fn a_torn_end_and_a_flipped_bit_cost_only_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let (number, length) = written(dir.path());
        let all = [record(0), record(1), record(2)];
        assert_eq!(read(dir.path(), number, 0, length).unwrap(), (all.to_vec(), true));
        assert_eq!(read(dir.path(), number, length / 3, length).unwrap().0, all[1..]);
        for torn in [length - 1, length - 100, length - length / 3 + 5] {
            assert_eq!(
                read(dir.path(), number, 0, torn).unwrap(),
                (all[..2].to_vec(), false),
                "{torn}"
            );
        }
        let mut bytes = std::fs::read(path(dir.path(), number)).unwrap();
        bytes[length as usize / 3 + HEAD + 20] ^= 1;
        std::fs::write(path(dir.path(), number), bytes).unwrap();
        assert_eq!(
            read(dir.path(), number, 0, length).unwrap(),
            (vec![record(0), record(2)], false)
        );
    }

    #[test]
    fn a_segment_is_kept_until_all_of_it_is_drained() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        let frames = frame(&record(1)).repeat(1 + SEGMENT_BYTES as usize / 100);
        log.append(&frames).unwrap();
        log.append(&frame(&record(2))).unwrap();
        let (first, length) = log.head().unwrap();
        assert_eq!(length, frames.len() as u64);
        assert_eq!(log.remove(first, length - 1, false).unwrap(), None);
        assert_eq!(log.remove(first + 1, length, false).unwrap(), None);
        assert_eq!(log.remove(first, length, true).unwrap(), Some(length));
        assert!(dir.path().join(format!("{first:020}.damaged")).is_file());
        let (second, rest) = log.head().unwrap();
        assert_eq!(read(dir.path(), second, 0, rest).unwrap().0, [record(2)]);
        assert_eq!(log.used(), rest);
    }
}
