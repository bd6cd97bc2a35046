"""Reads a verification summary as its consumers do: securesystemslib checks the envelope,
in-toto-attestation the statement and the predicate. Prints the result."""

import json
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1 import statement_pb2
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

summary, public = sys.argv[1:]
with open(summary) as file:
    envelope = Envelope.from_dict(json.load(file))
with open(public, "rb") as file:
    key = SSlibKey.from_crypto(load_pem_public_key(file.read()))
# securesystemslib has key ids of its own making; ours are those of the SubjectPublicKeyInfo.
(keyid,) = envelope.signatures
key.keyid = keyid
envelope.verify([key], 1)
message = json_format.Parse(envelope.payload, statement_pb2.Statement())
statement = Statement.copy_from_pb(message)
statement.validate()
predicate = json_format.MessageToDict(message.predicate)
# in-toto-attestation 0.9.3 has one string here, the specification a list of them; and it knows no
# `verifier.version`, which a consumer must pass over as every field that it does not know.
levels = predicate.pop("verifiedLevels")
parsed = vsa_pb2.VerificationSummary()
json_format.ParseDict(predicate, parsed, ignore_unknown_fields=True)
print(statement.pb.predicate_type, parsed.verification_result, *levels)
