"""Downloads a repository with an unmodified huggingface_hub and prints the seconds that took.

Arguments: repository, commit. HF_ENDPOINT and HF_HOME come from the environment.
"""

import sys
import time

from huggingface_hub import snapshot_download

repo, commit = sys.argv[1:]
start = time.monotonic()
snapshot_download(repo, revision=commit)
print(time.monotonic() - start)
