"""Downloads a repository with an unmodified huggingface_hub and prints what it was told.

Arguments: repository, repository type, commit, token, folder, one file's path.
HF_ENDPOINT and HF_HOME come from the environment.
"""

import json
import sys

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

repo, kind, commit, token, folder, path = sys.argv[1:]
common = {"repo_type": kind, "token": token}
api = HfApi(token=token)
files = [
    row
    for row in api.list_repo_tree(repo, revision=commit, recursive=True, repo_type=kind)
    if hasattr(row, "size")
]


def told(row):
    return [row.path, row.size, row.blob_id, row.lfs and [row.lfs.sha256, row.lfs.size, row.lfs.pointer_size]]


print(
    json.dumps(
        {
            "cached": snapshot_download(repo, revision=commit, **common),
            "local": snapshot_download(repo, local_dir=folder, **common),
            "by_commit": hf_hub_download(repo, path, revision=commit, force_download=True, **common),
            "by_branch": hf_hub_download(repo, path, revision="main", force_download=True, **common),
            "tree": [told(row) for row in files],
            "paths_info": [
                told(row)
                for row in api.get_paths_info(
                    repo, [row.path for row in files] + ["none"], revision=commit, repo_type=kind
                )
            ],
            "refs": {b.name: b.target_commit for b in api.list_repo_refs(repo, repo_type=kind).branches},
            "main": api.repo_info(repo, repo_type=kind).sha,
        }
    )
)
