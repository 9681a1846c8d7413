#!/bin/sh
# Runs a command where Rust compiles to wasm32-unknown-unknown:
#
#   sh wasm32.sh cargo build --release --target wasm32-unknown-unknown
#
# With rustup's target installed, that is all it does. Else it asks rustup for the target,
# and where rustup cannot fetch it (no way out to static.rust-lang.org), it takes Debian's
# compiler and builds the standard library of the same version: once, in about a minute, kept
# in ${STAGEDOOR_WASM32:-~/.cache/stagedoor/wasm32}. Nothing is installed in the system.
set -eu

target=wasm32-unknown-unknown
say() { echo "wasm32.sh: $*" >&2; }

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
# rust-lld and wasm-component-ld, which makes a component of a module.
linkers=$sysroot/lib/rustlib/$host/bin

has_target() { ls "$1/lib/rustlib/$target/lib/"libstd-*.rlib >/dev/null 2>&1; }

if has_target "$sysroot"; then
  PATH=$linkers:$PATH exec "$@"
fi

cache=${STAGEDOOR_WASM32:-${XDG_CACHE_HOME:-$HOME/.cache}/stagedoor/wasm32}
mkdir -p "$cache"
# One at a time: tests run in parallel.
exec 9>"$cache/lock"
flock 9

if ! [ -e "$cache/ready" ]; then
  if command -v rustup >/dev/null && timeout 60 rustup target add "$target" >&2; then
    exec 9>&-
    PATH=$linkers:$PATH exec "$@"
  fi
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    say "install the target: rustup target add $target"
    exit 1
  }
  say "rustup cannot fetch $target; building its standard library with Debian's compiler in $cache"
  rm -rf "$cache/debian" "$cache/std" "$cache/packages"
  mkdir -p "$cache/packages" "$cache/std/src"
  depends() { apt-cache depends "$1" | sed -n "s/^ *Depends: *\\($2[^ ]*\\)\$/\\1/p" | head -1; }
  wanted() {
    std=$(depends libstd-rust-web-dev libstd-rust-web-)
    llvm=$(depends "${std:-none}" libllvm)
    [ -n "$std" ] && [ -n "$llvm" ]
  }
  fetch() {
    (cd "$cache/packages" &&
      apt-get download rustc-web libstd-rust-web-dev rust-web-src "$std" "$llvm" >&2 2>/dev/null)
  }
  # The lists of packages may be old, or not there.
  { wanted && fetch; } || { say "reading the lists of packages"; apt-get update >&2; wanted && fetch; } || {
    say "Debian's packages cannot be fetched; install the target: rustup target add $target"
    exit 1
  }
  for package in "$cache"/packages/*.deb; do dpkg -x "$package" "$cache/debian"; done
  rm -rf "$cache/packages"

  say "compiling the standard library"
  cd_back=$PWD
  cd "$cache/std"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\n[workspace]\n' >Cargo.toml
  : >src/lib.rs
  env -u RUSTFLAGS -u CARGO_BUILD_TARGET -u CARGO_ENCODED_RUSTFLAGS \
    LD_LIBRARY_PATH="$cache/debian/usr/lib/x86_64-linux-gnu:$cache/debian/usr/lib" \
    RUSTC="$cache/debian/usr/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$cache/std/target" \
    cargo build --quiet --release -Zbuild-std=std,panic_abort --target "$target" >&2
  into=$cache/debian/usr/lib/rustlib/$target/lib
  mkdir -p "$into"
  cp "target/$target/release/deps/"lib*.rlib "$into/"
  rm -f "$into"/libempty-*.rlib
  cd "$cd_back"
  rm -rf "$cache/std"
  : >"$cache/ready"
  say "ready"
fi
flock -u 9
exec 9>&-

LD_LIBRARY_PATH=$cache/debian/usr/lib/x86_64-linux-gnu:$cache/debian/usr/lib \
  RUSTC=$cache/debian/usr/bin/rustc PATH=$linkers:$PATH exec "$@"
