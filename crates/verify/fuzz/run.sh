#!/usr/bin/env bash
# Runs every target for so many seconds (30 by default), from the attack corpus as seeds, and
# prints how many inputs each has seen. Ends with an error at the first crash.
set -euo pipefail
seconds=${1:-30}
cd "$(dirname "$0")"
python3 ../tests/corpus/generate.py --seeds target/seeds
# AddressSanitizer where it runs; `SANITIZER=none` elsewhere.
sanitizer=${SANITIZER:-address}
for target in $(cargo +nightly fuzz list); do
    mkdir -p "corpus/$target" "target/seeds/$target"
    log=$(mktemp)
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "corpus/$target" "target/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -print_final_stats=1 >"$log" 2>&1 || {
        tail -50 "$log"
        exit 1
    }
    awk -v target="$target" '/stat::number_of_executed_units/ { print target ": " $2 " inputs" }' "$log"
    rm "$log"
done
