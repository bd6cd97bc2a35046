#!/usr/bin/env bash
# Checks all that builds without ROS with the oldest Rust that it promises, and for 64-bit Arm, the other kind of robot.
# What this machine has no compiler for is NOT TRIED.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
arm=aarch64-unknown-linux-gnu

not_tried() { echo "NOT TRIED: $1"$'\n'"hint: $2" >&2; }

# Without the tests, whose dependencies may want a newer one.
if rustup run "$oldest" rustc --version >/dev/null 2>&1; then
    rustup run "$oldest" cargo check --locked --quiet --target-dir target/oldest
    echo "Rust $oldest: checked"
else
    not_tried "Rust $oldest" "rustup toolchain install $oldest --profile minimal"
fi

# BLAKE3 and the TLS library bring C.
if ! rustc --print target-libdir --target "$arm" 2>/dev/null | xargs -r ls >/dev/null 2>&1; then
    not_tried "$arm" "rustup target add $arm"
elif ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    not_tried "$arm" "apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
else
    cargo check --locked --quiet --target "$arm" --target-dir target/arm
    echo "$arm: checked"
fi
