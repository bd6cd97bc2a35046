//! File bodies: ranges, streaming, and the faults that show in bytes.

use std::io;
use std::ops::Range;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header, response};
use futures::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use crate::commit::{Blob, Content, Stamp};
use crate::connection::Flushes;
use crate::fault::{Cleared, Fault, Faults};
use crate::refusal::Refusal;

/// One read from disk, and the most that a body holds in memory besides the
/// connection's own buffer.
const CHUNK: usize = 256 * 1024;

/// Pieces in which a body that is held back comes, each second.
const BEATS: u64 = 50;

/// A file's body with status, length and range headers; more headers may follow.
pub(crate) struct Answer {
    status: StatusCode,
    content_range: Option<String>,
    length: u64,
    body: Body,
}

impl Answer {
    /// The part of `blob` that `range` asks for, as `tampering` has it.
    pub(crate) async fn new(
        blob: &Blob,
        range: Option<&HeaderValue>,
        tampering: Tampering,
    ) -> Result<Self, Refusal> {
        let size = blob.size;
        let asked = if tampering.range_ignored {
            None
        } else {
            requested(range, size)?
        };
        let part = asked.clone().unwrap_or(0..size);
        let length = (part.end - part.start).saturating_add(tampering.surplus);
        let length = length.min(tampering.short.unwrap_or(u64::MAX));
        let source = Source::open(&blob.content, part.start).await?;
        let claimed = tampering.content_range.clone();
        let transfer = Transfer {
            source,
            began: Instant::now(),
            sent: 0,
            part,
            length,
            tampering,
        };
        Ok(Self {
            status: if asked.is_some() {
                StatusCode::PARTIAL_CONTENT
            } else {
                StatusCode::OK
            },
            content_range: asked
                .map(|part| format!("bytes {}-{}/{size}", part.start, part.end - 1))
                .map(|range| claimed.unwrap_or(range))
                .filter(|range| !range.is_empty()),
            length,
            body: Body::from_stream(stream::try_unfold(transfer, Transfer::next)),
        })
    }

    /// The response with these headers besides those that every file has.
    pub(crate) fn with(
        self,
        headers: impl IntoIterator<Item = (HeaderName, String)>,
    ) -> Result<axum::response::Response, Refusal> {
        let mut builder = response::Builder::new()
            .status(self.status)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, self.length);
        if let Some(range) = self.content_range {
            builder = builder.header(header::CONTENT_RANGE, range);
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        Ok(builder.body(self.body)?)
    }
}

/// What is done to one body; the default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Tampering {
    flipped: Option<u64>,
    stop: Option<(u64, Stop)>,
    content_range: Option<String>,
    range_ignored: bool,
    rate: Option<u64>,
    short: Option<u64>,
    surplus: u64,
}

#[derive(Debug)]
enum Stop {
    Cut(Flushes),
    Hold(Cleared),
    Stall,
}

impl Tampering {
    /// The faults in force for the body of the file `path` on this connection.
    pub(crate) fn of(faults: &Faults, path: &str, flushes: Flushes) -> Self {
        let cleared = faults.cleared();
        let flipped = faults.find(|fault| match fault {
            Fault::ByteFlipped { path: named, at } if named == path => Some(*at),
            _ => None,
        });
        let stop = faults.find(|fault| match fault {
            Fault::ConnectionCut { path: named, after } if named == path => {
                Some((*after, Stop::Cut(flushes.clone())))
            }
            Fault::BodyHeld { path: named, after } if named == path => {
                Some((*after, Stop::Hold(cleared.clone())))
            }
            Fault::BodyStalled { path: named, after } if named == path => {
                Some((*after, Stop::Stall))
            }
            _ => None,
        });
        let content_range = faults.find(|fault| match fault {
            Fault::ContentRange { path: named, value } if named == path => Some(value.clone()),
            _ => None,
        });
        let rate = faults.find(|fault| match fault {
            Fault::Throttled {
                path: named,
                bytes_per_second,
            } if named == path => Some((*bytes_per_second).max(1)),
            _ => None,
        });
        let range_ignored = faults.find(|fault| match fault {
            Fault::RangeIgnored { path: named } if named == path => Some(()),
            _ => None,
        });
        let short = faults.find(|fault| match fault {
            Fault::BodyShort { path: named, bytes } if named == path => Some(*bytes),
            _ => None,
        });
        let surplus = faults.find(|fault| match fault {
            Fault::SurplusBytes { path: named, bytes } if named == path => Some(*bytes),
            _ => None,
        });
        let (range_ignored, surplus) = (range_ignored.is_some(), surplus.unwrap_or(0));
        Self {
            flipped,
            stop,
            content_range,
            range_ignored,
            rate,
            short,
            surplus,
        }
    }
}

/// The one range of `bytes=a-b`, `bytes=a-` or `bytes=-n`; anything else is
/// ignored, as RFC 9110 section 14.2 lets a server do.
fn requested(range: Option<&HeaderValue>, size: u64) -> Result<Option<Range<u64>>, Refusal> {
    let Some((first, last)) =
        range.and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Ok(None);
    };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(n)) if first.is_empty() => size.saturating_sub(n)..size,
        _ => return Ok(None),
    };
    if part.is_empty() {
        Err(Refusal::RangeNotSatisfiable { size })
    } else {
        Ok(Some(part))
    }
}

struct Transfer {
    source: Source,
    began: Instant,
    /// Bytes of this body so far.
    sent: u64,
    part: Range<u64>,
    length: u64,
    tampering: Tampering,
}

impl Transfer {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.sent == self.length {
            return Ok(None);
        }
        let mut limit = self.length;
        match self.tampering.stop.take() {
            Some((after, stop)) if after <= self.sent => stop.halt().await?,
            Some((after, stop)) => {
                limit = limit.min(after);
                self.tampering.stop = Some((after, stop));
            }
            None => {}
        }
        if let Some(rate) = self.tampering.rate {
            let due = Duration::from_secs_f64(self.sent as f64 / rate as f64);
            tokio::time::sleep_until(self.began + due).await;
            limit = limit.min(self.sent.saturating_add(rate.div_ceil(BEATS)));
        }
        let at = self.part.start + self.sent;
        let file_end = self.part.end.min(self.part.start.saturating_add(limit));
        let chunk = if at < file_end {
            let bytes = self.source.read(most(file_end - at)).await?;
            flipped(bytes, at, self.tampering.flipped)
        } else {
            static ZEROS: [u8; CHUNK] = [0; CHUNK];
            Bytes::from_static(&ZEROS).slice(..most(limit - self.sent))
        };
        self.sent += chunk.len() as u64;
        Ok(Some((chunk, self)))
    }
}

fn most(left: u64) -> usize {
    usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)
}

impl Stop {
    /// An error in a body makes the server close the connection.
    async fn halt(self) -> io::Result<()> {
        match self {
            Self::Stall => std::future::pending().await,
            Self::Hold(mut cleared) => {
                cleared.next().await;
                Ok(())
            }
            Self::Cut(mut flushes) => {
                flushes.next().await;
                Err(io::Error::other("the connection was cut on request"))
            }
        }
    }
}

fn flipped(bytes: Bytes, start: u64, at: Option<u64>) -> Bytes {
    let index = at.and_then(|at| usize::try_from(at.checked_sub(start)?).ok());
    let Some(index) = index.filter(|index| *index < bytes.len()) else {
        return bytes;
    };
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(index) {
        *byte ^= 0xff;
    }
    changed.into()
}

enum Source {
    Memory(Bytes),
    Disk(File),
}

impl Source {
    async fn open(content: &Content, start: u64) -> io::Result<Self> {
        match content {
            Content::Memory(bytes) => Ok(Self::Memory(bytes.slice(offset(bytes, start)..))),
            Content::Disk(path, stamp) => {
                let mut file = File::open(path).await?;
                if Stamp::of(&file.metadata().await?) != *stamp {
                    let changed = format!("{path:?} was changed after it was committed");
                    return Err(io::Error::other(changed));
                }
                file.seek(io::SeekFrom::Start(start)).await?;
                Ok(Self::Disk(file))
            }
        }
    }

    /// At least one and at most `most` bytes.
    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let bytes = match self {
            Self::Memory(bytes) => bytes.split_to(most.min(bytes.len())),
            Self::Disk(file) => {
                let mut buffer = Vec::with_capacity(most);
                file.take(most as u64).read_buf(&mut buffer).await?;
                buffer.into()
            }
        };
        if bytes.is_empty() {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(bytes)
        }
    }
}

fn offset(bytes: &Bytes, start: u64) -> usize {
    usize::try_from(start).map_or(bytes.len(), |start| start.min(bytes.len()))
}
