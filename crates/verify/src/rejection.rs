//! The one vocabulary of refusal.
//!
//! The same code stands in errors, in the command's JSON, in ROS messages and
//! in the heads of attack files, so that a word found in a log can be looked up
//! here.

use std::fmt;

macro_rules! rejections {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal => $code:literal,)*) => {
        /// Why something was refused: the attack that this refusal stops.
        ///
        /// Could-not-check (I/O, network, disk full) is never one of these.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Rejection {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl Rejection {
            /// Every rejection, in the alphabetical order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable kebab-case code, for people and machines.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The attack that it stops, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)*
                }
            }

            /// The stable number: `REASON_*` of `tensorgate_msgs/msg/PolicyStatus`.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }
        }
    };
}

rejections! {
/// Stops code that differs by a byte from what the reviewer saw.
CodeChanged = 16 => "code-changed",
/// Stops code that nobody reviewed from reaching the robot's disk.
CodeUnreviewed = 17 => "code-unreviewed",
/// Stops a JSON field that makes a loader import or call code.
ConfigNamesCode = 18 => "config-names-code",
/// Stops bytes that are not the signed ones (arbitrary installation, mix-and-match).
DigestMismatch = 19 => "digest-mismatch",
/// Stops bytes that were called back, in whatever release they come.
DigestRevoked = 84 => "digest-revoked",
/// Stops a loader from pulling in artifacts that nobody signed (extraneous dependencies).
ExternalUnpinned = 20 => "external-unpinned",
/// Stops files that no policy needs: only allowed kinds pass.
FileKindForbidden = 21 => "file-kind-forbidden",
/// Stops a file that the manifest passes off as another kind.
FileKindMismatch = 22 => "file-kind-mismatch",
/// Stops a partial policy (mix-and-match, partial bundle).
FileMissing = 23 => "file-missing",
/// Stops two names that are one file on another file system (case twins, `a` beside `a/b`).
FileNameCollision = 24 => "file-name-collision",
/// Stops a name that leaves the policy's directory or deceives its reader.
FileNameUnsafe = 25 => "file-name-unsafe",
/// Stops links, FIFOs, devices and sockets in place of files.
FileNotRegular = 26 => "file-not-regular",
/// Stops files that nobody signed from lying beside those that somebody did.
FileUnexpected = 27 => "file-unexpected",
/// Stops an archive (zip, tar, torch zip, npz) passed off as a policy file.
FormatArchive = 28 => "format-archive",
/// Stops a native program or a script.
FormatExecutable = 29 => "format-executable",
/// Stops a pickle, which runs code when it is loaded, under any name.
FormatPickle = 30 => "format-pickle",
/// Stops bytes that are none of the allowed formats.
FormatUnknown = 31 => "format-unknown",
/// Stops a header that does not begin with `{`, as the format demands.
HeaderLeadingSpace = 32 => "header-leading-space",
/// Stops a header that claims to reach past the end of its file.
HeaderLengthInvalid = 33 => "header-length-invalid",
/// Stops a header that readers could understand differently (parser differential).
HeaderMalformed = 34 => "header-malformed",
/// Stops a header that is not UTF-8.
HeaderNotUtf8 = 35 => "header-not-utf8",
/// Stops memory exhaustion by a huge header (endless data).
HeaderTooLarge = 36 => "header-too-large",
/// Stops a file that cannot even hold the header's length.
HeaderTooShort = 37 => "header-too-short",
/// Stops data that hides in fields which readers ignore.
HeaderUnknownField = 38 => "header-unknown-field",
/// Stops documents that mean different things to different parsers (signature confusion).
JsonDuplicateKey = 39 => "json-duplicate-key",
/// Stops JSON that strict readers refuse.
JsonMalformed = 40 => "json-malformed",
/// Stops memory exhaustion by a huge document (endless data).
JsonTooLarge = 41 => "json-too-large",
/// Stops signatures by a key whose time is over.
KeyExpired = 42 => "key-expired",
/// Stops a key from speaking for repositories it was not given.
KeyOutOfScope = 43 => "key-out-of-scope",
/// Stops signatures by a key that was stolen or given up.
KeyRevoked = 44 => "key-revoked",
/// Stops a robot from being kept on an old policy for ever (freeze).
ManifestExpired = 45 => "manifest-expired",
/// Stops a sequence driven so high that no later release counts.
ManifestFastForward = 46 => "manifest-fast-forward",
/// Stops statements that are not exactly of the documented form.
ManifestMalformed = 47 => "manifest-malformed",
/// Stops a directory that nobody vouches for.
ManifestMissing = 48 => "manifest-missing",
/// Stops a statement from the future.
ManifestNotYetValid = 49 => "manifest-not-yet-valid",
/// Stops a release that was called back.
ManifestRevoked = 50 => "manifest-revoked",
/// Stops an old, correctly signed release in place of a newer one (rollback, replay).
ManifestRollback = 51 => "manifest-rollback",
/// Stops memory exhaustion by a huge envelope (endless data).
ManifestTooLarge = 52 => "manifest-too-large",
/// Stops statements whose meaning this version does not know.
ManifestUnknownField = 53 => "manifest-unknown-field",
/// Stops statistics that would drive motors to nonsense.
NormalizerDegenerate = 54 => "normalizer-degenerate",
/// Stops an OpenSSF Model Signing bundle that does not verify.
OmsSignatureInvalid = 55 => "oms-signature-invalid",
/// Stops an OpenSSF Model Signing bundle of a method or form not accepted here.
OmsUnsupported = 56 => "oms-unsupported",
/// Stops a good signature of another meaning (signature confusion).
PayloadTypeUnsupported = 57 => "payload-type-unsupported",
/// Stops weights that are also a working pickle.
PolyglotPickle = 58 => "polyglot-pickle",
/// Stops weights that are also a zip archive.
PolyglotZip = 59 => "polyglot-zip",
/// Stops a signed statement of another type (signature confusion).
PredicateTypeUnsupported = 60 => "predicate-type-unsupported",
/// Stops a processor step from reading state outside the signed files.
ProcessorStateUnsafe = 61 => "processor-state-unsafe",
/// Stops a processor step that is not on the allowlist.
ProcessorUnknown = 62 => "processor-unknown",
/// Stops a configuration that asks the loader to run code from the Hub.
RemoteCodeRequested = 63 => "remote-code-requested",
/// Stops a genuine policy of another repository (wrong target).
RepoMismatch = 64 => "repo-mismatch",
/// Stops a genuine policy of another commit than the one asked for.
RevisionMismatch = 65 => "revision-mismatch",
/// Stops names that can move: only a full commit id is a revision.
RevisionNotPinned = 66 => "revision-not-pinned",
/// Stops a commit that was called back.
RevisionRevoked = 67 => "revision-revoked",
/// Stops statements that no trusted key signed (arbitrary installation).
SignatureInvalid = 68 => "signature-invalid",
/// Stops short, long and endless bodies (endless data).
SizeMismatch = 69 => "size-mismatch",
/// Stops BOOL bytes that are neither 0 nor 1.
TensorBoolInvalid = 70 => "tensor-bool-invalid",
/// Stops element types the robot does not use.
TensorDtypeForbidden = 71 => "tensor-dtype-forbidden",
/// Stops weights without elements.
TensorEmpty = 72 => "tensor-empty",
/// Stops tensors that no reader can view in place.
TensorMisaligned = 73 => "tensor-misaligned",
/// Stops names that escape into paths, logs or messages.
TensorNameUnsafe = 74 => "tensor-name-unsafe",
/// Stops overlaps, holes and ranges outside the file.
TensorOffsetsInvalid = 75 => "tensor-offsets-invalid",
/// Stops shapes that exhaust loaders.
TensorRankTooHigh = 76 => "tensor-rank-too-high",
/// Stops shapes whose size wraps around.
TensorShapeOverflow = 77 => "tensor-shape-overflow",
/// Stops ranges that do not fit their shape and element type.
TensorSizeMismatch = 78 => "tensor-size-mismatch",
/// Stops memory exhaustion by endless tensor tables.
TensorTooMany = 79 => "tensor-too-many",
/// Stops what too few of the trusted keys signed (stolen key).
ThresholdNotMet = 80 => "threshold-not-met",
/// Stops bytes that follow the last tensor and belong to nobody.
TrailingBytes = 81 => "trailing-bytes",
/// Stops shards that do not hold what their index says.
WeightsIndexInvalid = 82 => "weights-index-invalid",
/// Stops NaN and infinity in weights.
WeightsNonFinite = 83 => "weights-non-finite",}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_numbers_distinct() {
        for pair in Rejection::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code(), "{} {}", pair[0], pair[1]);
        }
        let mut numbers: Vec<u8> = Rejection::ALL.iter().map(|r| r.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Rejection::ALL.len());
    }

    #[test]
    fn ros_constants_are_the_same_vocabulary() {
        let status = include_str!("../../../msg/msg/PolicyStatus.msg");
        for rejection in Rejection::ALL {
            let name = rejection.code().to_uppercase().replace('-', "_");
            let line = format!("uint8 REASON_{name}={}", rejection.number());
            assert!(
                status.lines().any(|l| l
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .starts_with(&line)),
                "PolicyStatus.msg lacks `{line}`"
            );
        }
        let listed = status
            .lines()
            .filter(|l| l.trim_start().starts_with("uint8 REASON_"))
            .count();
        // REASON_UNKNOWN, REASON_NONE, REASON_COULD_NOT_CHECK and REASON_WITHDRAWN are no rejections.
        assert_eq!(listed, Rejection::ALL.len() + 4);
    }
}
