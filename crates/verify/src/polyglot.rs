//! Weights that are also something else.
//!
//! Bytes are judged from the first to the last, as a pickle, a zip and a tar archive would be read;
//! names and first bytes decide nothing.

use crate::error::Findings;
use crate::{FilePath, Rejection};

/// Refuses the bytes of a whole safetensors file that are also a pickle, a zip or a tar archive.
pub(crate) fn refuse_polyglot(path: &FilePath, bytes: &[u8], findings: &mut Findings) {
    if let Some(found) = Walk::new(bytes).code() {
        findings.reject(Rejection::PolyglotPickle, path, found);
    }
    if let Some(at) = zip_end(bytes) {
        let detail = format!("a zip archive that ends with the record at byte {at}");
        findings.reject(Rejection::PolyglotZip, path, detail);
    }
    if is_tar(bytes) {
        findings.reject(Rejection::FormatArchive, path, "this is also a tar archive");
    }
}

/// Whether a text is a pickle: from its first character it walks to its end, and imports on the way.
///
/// A vocabulary may begin with words that read like an import. It goes on with the end of a line,
/// which is no opcode.
pub(crate) fn is_pickle(text: &[u8]) -> bool {
    let (mut walk, mut imports) = (Walk::new(text), false);
    loop {
        let ends = walk.rest.first() == Some(&STOP);
        match walk.step() {
            Step::Off => return false,
            Step::On if ends => return imports,
            Step::On => {}
            Step::Import(_) => imports = true,
        }
    }
}

/// What follows an opcode of a pickle (Python's `pickletools`, protocols 0 to 5).
#[derive(Clone, Copy)]
enum Operand {
    /// So many bytes.
    Bytes(usize),
    /// A length of so many bytes, little endian, then so many bytes.
    Counted(usize),
    /// The same with a signed length.
    SignedCounted(usize),
    /// So many lines.
    Lines(usize),
}

use Operand::{Bytes, Counted, Lines, SignedCounted};

const OPCODES: &[(&[u8], Operand)] = &[
    (b"().012NQR]abdelostu}", Bytes(0)),
    (
        b"\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98",
        Bytes(0),
    ),
    (b"Khq\x80\x82", Bytes(1)),
    (b"M\x83", Bytes(2)),
    (b"Jjr\x84", Bytes(4)),
    (b"G\x95", Bytes(8)),
    (b"CU\x8a\x8c", Counted(1)),
    (b"BX", Counted(4)),
    (b"T\x8b", SignedCounted(4)),
    (b"\x8d\x8e\x96", Counted(8)),
    (b"FILPSVgp", Lines(1)),
    (b"ci", Lines(2)),
];

const STOP: u8 = b'.';
const PROTO: u8 = 0x80;
const STACK_GLOBAL: u8 = 0x93;
/// GLOBAL and INST: the operand names what is imported.
const IMPORTS: &[u8] = b"ci";
const STRINGS: &[u8] = b"STUVX\x8c\x8d";
/// DUP, GET, BINGET, LONG_BINGET: may bring back a string that was there.
const AGAIN: &[u8] = b"2ghj";

/// Steps after which a file counts as a pickle: 1,048,576. Good files are left after 10 opcodes at
/// the most (20,000 random headers).
const STEPS: usize = 1 << 20;

/// A pickle machine that executes nothing: it skips operands until something would be imported.
///
/// It does not stop at STOP: what follows may be the next pickle of a stream. That a walk comes so
/// far is no evidence either.
struct Walk<'a> {
    rest: &'a [u8],
    /// Strings pushed so far: STACK_GLOBAL needs two.
    strings: usize,
}

enum Step {
    /// On to the next opcode.
    On,
    /// No pickle.
    Off,
    /// A pickle that imports.
    Import(String),
}

impl<'a> Walk<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            strings: 0,
        }
    }

    /// What a loader of pickles would import, if the walk comes to that.
    fn code(mut self) -> Option<String> {
        for _ in 0..STEPS {
            match self.step() {
                Step::On => {}
                Step::Off => return None,
                Step::Import(what) => return Some(what),
            }
        }
        Some(format!("{STEPS} opcodes of a pickle, and no end"))
    }

    fn step(&mut self) -> Step {
        let walked = self.opcode().and_then(|op| Some((op, self.operand(op)?)));
        let Some((opcode, operand)) = walked else {
            return Step::Off;
        };
        match opcode {
            PROTO if operand.first() > Some(&5) => return Step::Off,
            STACK_GLOBAL if self.strings >= 2 => {
                return Step::Import("a pickle that imports what it names on its stack".to_owned());
            }
            _ if IMPORTS.contains(&opcode) && names_code(operand) => {
                let name = String::from_utf8_lossy(operand).replace('\n', " ");
                return Step::Import(format!("a pickle that imports {name:?}"));
            }
            _ if STRINGS.contains(&opcode) => self.strings = self.strings.saturating_add(1),
            _ if AGAIN.contains(&opcode) && self.strings > 0 => {
                self.strings = self.strings.saturating_add(1);
            }
            _ => {}
        }
        Step::On
    }

    fn opcode(&mut self) -> Option<u8> {
        let (opcode, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*opcode)
    }

    /// The operand, lines without their last end; `None` where there is no such opcode or the file
    /// ends too early.
    fn operand(&mut self, opcode: u8) -> Option<&'a [u8]> {
        let (_, operand) = OPCODES.iter().find(|(ops, _)| ops.contains(&opcode))?;
        match *operand {
            Bytes(len) => self.take(len),
            Counted(width) => {
                let len = little_endian(self.take(width)?);
                self.take(usize::try_from(len).ok()?)
            }
            SignedCounted(width) => {
                let len = little_endian(self.take(width)?);
                self.take(usize::try_from(i32::try_from(len).ok()?).ok()?)
            }
            Lines(count) => {
                let mut ends = self.rest.iter().enumerate().filter(|(_, b)| **b == b'\n');
                let (end, _) = ends.nth(count.checked_sub(1)?)?;
                let lines = self.take(end)?;
                self.take(1).map(|_| lines)
            }
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Whether both lines of a GLOBAL or INST look like a dotted name.
fn names_code(lines: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphabetic() || *b == b'_' || !b.is_ascii();
    lines.split(|b| *b == b'\n').all(|line| {
        line.first().is_some_and(letter)
            && line
                .iter()
                .all(|b| letter(b) || b.is_ascii_digit() || *b == b'.')
    })
}

/// Bytes of an end-of-central-directory record without its comment (APPNOTE.TXT, 4.3.16).
const ZIP_END: usize = 22;
const ZIP_COMMENT: usize = 0xffff;

/// Where the record lies that makes readers of zip archives take these bytes for one.
///
/// Readers look for it from the end. Some want its comment to end with the file, some do not care;
/// some count offsets from the start of the file, some from that of the archive; so each of these
/// is enough.
fn zip_end(bytes: &[u8]) -> Option<usize> {
    let tail = bytes
        .len()
        .saturating_sub(ZIP_END.saturating_add(ZIP_COMMENT));
    let windows = bytes.get(tail..)?.windows(ZIP_END).enumerate();
    let mut records = windows.filter(|(_, record)| record.starts_with(b"PK\x05\x06"));
    let has = |at: Option<usize>, magic: &[u8]| {
        let rest = at.and_then(|at| bytes.get(at..));
        rest.is_some_and(|rest| rest.starts_with(magic))
    };
    let is_end = |at: usize, record: &[u8]| {
        let number = |from: usize, to: usize| {
            let number = little_endian(record.get(from..to).unwrap_or_default());
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let (size, offset, comment) = (number(12, 16), number(16, 20), number(20, 22));
        let comment_end = at.saturating_add(ZIP_END).saturating_add(comment);
        let fits = comment_end == bytes.len() && size.saturating_add(offset) <= at;
        let directory =
            has(Some(offset), b"PK\x01\x02") || has(at.checked_sub(size), b"PK\x01\x02");
        // The locator of a zip64 record is 20 bytes long and lies just before (4.3.15).
        fits || directory || has(at.checked_sub(20), b"PK\x06\x07")
    };
    let found = records.find(|(from, record)| is_end(tail.saturating_add(*from), record));
    found.map(|(from, _)| tail.saturating_add(from))
}

/// Whether the first block has the checksum of a tar header, which is all that some readers ask of
/// one: the sum of its bytes, signed or not, those of the checksum itself counted as spaces (POSIX
/// `pax`, ustar interchange format).
fn is_tar(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<512>() else {
        return false;
    };
    let (before, rest) = block.split_at(148);
    let (field, after) = rest.split_at(8);
    let summed = || before.iter().chain(b"        ").chain(after);
    let unsigned = summed().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed = summed()
        .map(|byte| i64::from(byte.cast_signed()))
        .sum::<i64>();
    tar_number(field).is_some_and(|number| number == unsigned || number == signed)
}

/// Octal digits up to NUL, with all that Python's `int` takes besides; or base 256 (GNU tar).
fn tar_number(field: &[u8]) -> Option<i64> {
    if let Some((0x80, binary)) = field.split_first() {
        return Some(binary.iter().fold(0, |n, byte| n << 8 | i64::from(*byte)));
    }
    let text = field.split(|byte| *byte == 0).next()?;
    let known = |byte: &u8| byte.is_ascii_whitespace() || b"+_oO01234567".contains(byte);
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |n, digit| n << 3 | i64::from(digit & 7));
    text.iter().all(known).then_some(number)
}
