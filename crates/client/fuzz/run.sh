#!/usr/bin/env bash
# Sends a receiver sequences of messages for so many seconds (60 by default), and prints how many.
# Ends with an error at the first that breaks what must hold.
set -euo pipefail
seconds=${1:-60}
cd "$(dirname "$0")"
# A policy announced, sent, proven and stood by; one that is pulled, revoked and replaced.
mkdir -p corpus/receiver target/seeds
printf '\0\1\1\1\4\11\5\1\3\1\1\5' >target/seeds/active
printf '\0\1\1\1\4\11\5\1\3\1\1\5\106\1\2\2\104\1\11\101\2\7\2\0\5\202\2\3\1\206\11' >target/seeds/swap
# AddressSanitizer where it runs; `SANITIZER=none` elsewhere.
cargo +nightly fuzz run --sanitizer "${SANITIZER:-address}" receiver corpus/receiver target/seeds -- \
    -max_total_time="$seconds" -max_len=600 -rss_limit_mb=1024 -print_final_stats=1 2>&1 |
    tee target/receiver.log | awk '
        /stat::number_of_executed_units/ { print "receiver: " $2 " sequences" }
        /stat::peak_rss_mb/ { print "receiver: at most " $2 " MiB" }
        /panicked|ERROR|SUMMARY/'
