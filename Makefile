# What a developer types. `make test` works on a machine that has only Rust and apt.

CARGO ?= cargo
# Packages the tests and the lab use: real servers and clients, real hosts, real firewalls.
PACKAGES = redis-server redis-tools debootstrap systemd-container iproute2 nftables iptables ipset python3-venv
ROOT := $(shell [ "$$(id -u)" = 0 ] && echo yes)
APT := $(shell command -v apt-get)
ROOT_DIR := $(abspath .)
TARGET = $(or $(CARGO_TARGET_DIR),target)
# The lab judges this build, whatever else was built later.
release_lab = NOPONG_BIN="$${NOPONG_BIN:-$(abspath $(TARGET))/release/nopong}" $(CARGO) run --release -q -p lab --

.PHONY: build test needs unit lab lab-fix fuzz bench check docs verdict-differential

build:
	$(CARGO) build --release -p nopong

test: needs unit lab

# Installs what is missing, where that is possible; otherwise the tests say themselves what they skip and why.
needs:
ifeq ($(ROOT)$(if $(APT),yes),yesyes)
	@missing=$$(for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing:" $$missing; \
	  apt-get update -qq || true; \
	  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing \
	    || echo "some packages could not be installed: tests that need them are skipped"; \
	fi
else
	@echo "not root on Debian or Ubuntu: tests that need real servers or root are skipped where these are missing"
endif

# LAB=skip: the lab runs by itself below, on the release build.
unit:
	LAB=skip $(CARGO) test --workspace

lab: build
	$(release_lab) run --fix
	$(release_lab) cloud

# Every fixable fault alone: broken, fixed, PONG for a real client, undone, compared. ARGS=--kill kills it at each point instead.
# A debug build alone can be killed at a point.
lab-fix: build
ifneq ($(filter --kill,$(ARGS)),)
	$(CARGO) build -p nopong
	NOPONG_BIN=$(abspath $(TARGET))/debug/nopong $(CARGO) run --release -q -p lab -- fix $(ARGS)
else
	$(release_lab) fix $(ARGS)
endif

# Coverage-guided, on the stable toolchain. SECONDS_EACH: time for each target.
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "needs: cargo install cargo-fuzz"; exit 1; }
	for dir in fuzz crates/packet-verdict/fuzz; do cd $(ROOT_DIR)/$$dir && for t in $$(cargo fuzz list); do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$t -- -max_total_time=$${SECONDS_EACH:-300} || exit 1; done || exit 1; done

# Random rule sets loaded into namespaces, a real SYN sent, the verdict compared with what the kernel did. Needs root.
verdict-differential:
	VERDICT_SETS=2000 $(CARGO) test -p packet-verdict --test differential -- --nocapture

bench: build
	bench/run.sh

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

docs:
	$(CARGO) doc --workspace --no-deps --open
