#!/bin/sh
# The addon's tests with the crates of this workspace under AddressSanitizer. The crates of others,
# Node and its allocations are as always. Needs GCC's library of the sanitizer (Debian: libasan8).
#
# cargo runs this in the place of rustc for crates of the workspace: then there are arguments.
set -eu

if [ $# -gt 0 ]; then
  exec env RUSTC_BOOTSTRAP=1 "$@" -Zsanitizer=address
fi
cd "$(dirname "$0")/.."
# A directory of its own: the addon has the same name there as without the sanitizer.
CARGO_TARGET_DIR="$(cd ../.. && pwd)/target/address"
RUSTC_WORKSPACE_WRAPPER="$PWD/test/address.sh"
export CARGO_TARGET_DIR RUSTC_WORKSPACE_WRAPPER
cargo build --workspace --test node
addon="$CARGO_TARGET_DIR/stagedoor.node"
cp "$CARGO_TARGET_DIR/debug/deps/libstagedoor_node.so" "$addon"
# Node's own allocations are not freed when it ends.
LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
  NAPI_RS_NATIVE_LIBRARY_PATH="$addon" node --test test/*.test.js
