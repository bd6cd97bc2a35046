"""Does what it is told with the reference implementation of OpenSSF Model Signing.

Standard input is a JSON list of jobs, standard output the list of their
outcomes: null, or why not.
"""

import json
import sys

from model_signing import hashing, signing, verifying


def main():
    json.dump([outcome(job) for job in json.load(sys.stdin)], sys.stdout)


def outcome(job):
    try:
        {"sign": sign, "verify": verify}[job["do"]](job)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def sign(job):
    config = signing.Config()
    if "certificate" in job:
        config.use_certificate_signer(
            private_key=job["private_key"],
            signing_certificate=job["certificate"],
            certificate_chain=job["chain"],
        )
    else:
        config.use_elliptic_key_signer(private_key=job["private_key"])
    config.set_hashing_config(hashes(job)).sign(job["model"], job["signature"])


def verify(job):
    config = verifying.Config()
    if "root" in job:
        config.use_certificate_verifier(certificate_chain=[job["root"]])
    else:
        config.use_elliptic_key_verifier(public_key=job["public_key"])
    config.set_hashing_config(hashes(job)).verify(job["model"], job["signature"])


def hashes(job):
    algorithm = job.get("hash", "sha256")
    config = hashing.Config()
    if "shard_size" in job:
        config.use_shard_serialization(
            hashing_algorithm=algorithm, shard_size=job["shard_size"]
        )
    else:
        config.use_file_serialization(hashing_algorithm=algorithm)
    return config.set_ignored_paths(
        paths=["model.sig"], ignore_git_paths=job.get("ignore_git_paths", True)
    )


main()
