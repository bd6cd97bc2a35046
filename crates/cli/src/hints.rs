//! What to do about a rejection, for the person in front of the robot.

use tensorgate_verify::Rejection;

/// One sentence on what to do.
pub(crate) const fn of(rejection: Rejection) -> &'static str {
    use Rejection as R;
    match rejection {
        R::SignatureInvalid => {
            "no key in the trust policy signed this manifest: compare the key ids with the publisher"
        }
        R::ThresholdNotMet => {
            "more signers are needed: each runs `tensorgate sign` on the same files"
        }
        R::KeyExpired | R::KeyRevoked | R::KeyOutOfScope => {
            "the signing key no longer counts for this repository: ask the publisher for a release signed with a current one"
        }
        R::DigestMismatch | R::SizeMismatch => {
            "the bytes are not what was signed: fetch the policy again, and do not use this copy"
        }
        R::FileMissing => "the policy is incomplete: fetch it again",
        R::FileUnexpected => {
            "only what was signed may lie in the directory: move it away, or have it signed"
        }
        R::ManifestMissing => "sign the directory with `tensorgate sign`, or give --manifest FILE",
        R::ManifestExpired => {
            "is this machine's clock right? then ask the publisher for a newer release, or sign again with a later --expires"
        }
        R::ManifestNotYetValid => "is this machine's clock right? it is behind the signer's",
        R::ManifestRollback => {
            "a newer release was accepted here before: fetch that one, or sign this one with a higher --sequence"
        }
        R::ManifestFastForward => {
            "`max_jump` is exceeded: ask the publisher, and only then raise it or run `tensorgate store reset-state`"
        }
        R::ManifestRevoked => {
            "this release was called back: use another; `tensorgate store ls` shows what was revoked on this machine"
        }
        R::RevisionRevoked | R::DigestRevoked => "this release was called back: use another",
        R::ManifestMalformed | R::ManifestUnknownField | R::ManifestTooLarge => {
            "the manifest was damaged, or made by another version: have it signed again"
        }
        R::PayloadTypeUnsupported | R::PredicateTypeUnsupported => {
            "this is a signature over something else than a policy"
        }
        R::RepoMismatch | R::RevisionMismatch => {
            "this is a genuine policy, but not the one that was asked for: check the repository and the commit"
        }
        R::RevisionNotPinned => "give the full commit id, 40 hexadecimal digits; a branch moves",
        R::FileNameUnsafe | R::FileNameCollision => {
            "rename or remove the file in the repository: plain ASCII names, no twins, nothing hidden"
        }
        R::FileNotRegular => {
            "replace it by the file itself; a copy out of a cache that links needs `cp -RL`"
        }
        R::FileKindForbidden | R::FileKindMismatch => {
            "a policy holds safetensors, JSON, tokenizer and text files: remove anything else"
        }
        R::FormatUnknown => {
            "a policy holds safetensors, JSON, tokenizer and text files: fetch what is a pointer, remove anything else"
        }
        R::FormatPickle | R::FormatArchive => {
            "convert the weights to safetensors: loading this file could run code"
        }
        R::FormatExecutable => "remove it: no policy needs to bring a program",
        R::CodeUnreviewed => {
            "remove it, or declare its review: `[[reviewed_code]]` in --externals FILE, `reviewed_code = \"allow\"` in trust.toml"
        }
        R::CodeChanged => {
            "these bytes are not what the reviewer read: restore those, or have these reviewed and signed"
        }
        R::ConfigNamesCode => "the field would make the loader run code: remove it",
        R::RemoteCodeRequested => {
            "remove what asks for it, or have the code reviewed and declared in --externals FILE"
        }
        R::ProcessorUnknown => {
            "use steps that only compute: whatever runs foreign code or needs a live object is the robot's own to add"
        }
        R::ProcessorStateUnsafe => {
            "save the processor again: `state_file` names a file beside it, and statistics stand only there"
        }
        R::ExternalUnpinned => {
            "in --externals FILE: `[[externals]]` field = \"…\", name = \"…\", decision = \"absent\", reason = \"…\"; or pinned"
        }
        R::JsonDuplicateKey | R::JsonMalformed | R::JsonTooLarge | R::WeightsIndexInvalid => {
            "readers would understand this file differently, or not at all: write it again"
        }
        R::PolyglotPickle | R::PolyglotZip | R::TrailingBytes => {
            "the file is more than weights: save it again with safetensors and do not use this copy"
        }
        R::WeightsNonFinite => {
            "NaN and infinity drive motors to nonsense: was training broken off? save an earlier checkpoint"
        }
        R::NormalizerDegenerate => {
            "these numbers scale what the motors get: save the processors again, from the data set of the training"
        }
        R::OmsSignatureInvalid => {
            "nobody under [[oms]] of the trust policy made this bundle: compare the keys with the publisher"
        }
        R::OmsUnsupported => "sign the policy with `tensorgate sign`",
        R::TensorDtypeForbidden => {
            "convert the tensor to a type that may pass: `dtypes` under [content] of the trust policy lists them"
        }
        R::HeaderTooLarge | R::TensorTooMany => {
            "no policy that is known comes near: is this the right file? [limits] of the trust policy has the bounds"
        }
        _ => TENSORS,
    }
}

/// The many ways in which a safetensors file can be wrong have one remedy.
const TENSORS: &str = "no strict reader takes this safetensors file: save it again with a current safetensors library";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safetensors_have_the_common_hint() {
        for rejection in Rejection::ALL {
            let code = rejection.code();
            let own = matches!(
                rejection,
                Rejection::TensorDtypeForbidden
                    | Rejection::HeaderTooLarge
                    | Rejection::TensorTooMany
            );
            let about_tensors = code.starts_with("header-") || code.starts_with("tensor-");
            let about_tensors = about_tensors && !own;
            let common = of(*rejection) == TENSORS;
            assert_eq!(common, about_tensors, "{code}");
        }
    }

    #[test]
    fn hints_are_one_short_sentence() {
        for rejection in Rejection::ALL {
            let hint = of(*rejection);
            assert!(
                hint.len() <= 125 && !hint.ends_with('.'),
                "{rejection}: {hint}"
            );
        }
    }
}
