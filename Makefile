# Each line can be run by hand. The ROS environment is made on first use (ros/env.sh).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: demo demo-walk shell test bench lint ports release-check

ROS := source ros/env.sh
# Where Python finds the package `tensorgate_client`: its sources, and the library that was built.
MODULE := package=target/python/tensorgate_client && mkdir -p $$package && ln -sfr crates/python/python/tensorgate_client/* $$package && \
    ln -sfr target/debug/libtensorgate_python.so $$package/_native.abi3.so

# A policy from a Hub to a controller, then attempts to cheat, and a recall.
demo:
	$(ROS)
	cargo build --locked --workspace
	$(MODULE)
	python examples/demo.py

# A robot that walks under that policy, in MuJoCo: a tampered update, a genuine one, a recall.
demo-walk:
	$(ROS)
	bash ros/setup.sh ensure_sim
	cargo build --locked -p tensorgate -p tensorgate-node -p tensorgate-python -p tensorgate-testhub
	$(MODULE)
	python examples/walk/demo.py

# A shell in which README and the guides can be followed by hand, without colcon.
shell:
	$(ROS)
	cargo build --locked --workspace
	# What writes the header for C: the controllers' guide calls it.
	cargo build --locked --package tensorgate-c --example header
	$(MODULE)
	python docs/tests/shell.py

# Everything: the crates, the documentation's examples, and the whole path over real ROS 2.
test:
	$(ROS)
	# A file that a group may write to is trusted by nothing that is tested.
	umask 022
	bash ros/setup.sh ensure_olah
	bash ros/setup.sh ensure_browser || true
	bash ros/setup.sh ensure_sim
	bash ros/setup.sh ensure_sarif
	cargo build --locked --workspace --all-targets
	$(MODULE)
	cargo test --locked --workspace
	# What is NOT TRIED is said at the end. The plugins that a ROS installation brings want an older pytest.
	export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH=target/python:$${PYTHONPATH:-}
	python -m pytest -rs --rootdir . crates/python/tests crates/cli/tests/browser crates/node/tests
	python -m pytest -rs examples/walk/tests
	# What `colcon test` runs, too.
	python -m pytest -rs launch/tests
	# Every command of README and the guides, literally.
	python -m pytest -rs docs/tests
	python -m pytest -rs release/tests

# The same work by tensorgate and its peers in one run: a table, and the charts of README under docs/.
# A peer that cannot be installed is reported as such. (`cargo bench` is for whoever works on the
# code: criterion, and ours beside fewer peers.)
bench:
	bash ros/setup.sh ensure_peers || true
	cargo install --locked --quiet --root target/b3sum b3sum@1.8.7 || true
	cargo build --locked --release --manifest-path benches/candle/Cargo.toml --target-dir target/candle || true
	cargo build --locked --release --package tensorgate --package tensorgate-testhub --package tensorgate-benches
	cargo bench --locked --package tensorgate-benches --bench fetch --no-run
	TENSORGATE_BENCH_FULL=1 python3 benches/compare
	$(ROS)
	cargo build --locked --release --package tensorgate-node --package tensorgate-python
	python benches/benches/publish.py
	python benches/benches/life.py

lint:
	$(ROS)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps
	for crate in verify client; do
	    cargo fmt --manifest-path crates/$$crate/fuzz/Cargo.toml --check
	    cargo check --locked --manifest-path crates/$$crate/fuzz/Cargo.toml --target-dir target/fuzz
	done
	# Licences, sources and known flaws of what we depend on.
	bash release/deny.sh
	# The attack corpus is what its generator says.
	python crates/verify/tests/corpus/generate.py --check
	# So are the test vectors; and what was written from the pages of docs/formats alone agrees with both.
	python docs/vectors/generate.py --check
	python docs/vectors/verify.py
	python docs/vectors/fragments.py
	python docs/vectors/against_corpus.py
	# What the verification crate rests on: whoever adds to it shows it in a review.
	cargo tree --locked --package tensorgate-verify --edges normal,build --target x86_64-unknown-linux-gnu \
	    --prefix none --no-dedupe | sed 's/ (.*//' | sort -u | diff crates/verify/DEPS.txt -

# The oldest Rust that is promised, and 64-bit Arm, where this machine has them: each
# compiles the whole tree anew, 2 min of one core.
ports:
	bash release/ports.sh

# A release, built twice in two places: the same bytes. Some 8 min on two cores, so not in each CI run.
release-check:
	bash release/tools.sh
	bash release/check.sh
