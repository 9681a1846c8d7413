#!/bin/sh
# Runs `stagedoor` for a hook of pre-commit: the one on the path if it is of this version, else the npm
# package of this version. Another version could find something else than the others of the team do.
set -eu

version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$(dirname "$0")/package.json")
if [ "$(stagedoor --version 2>/dev/null)" = "stagedoor $version" ]; then
  exec stagedoor "$@"
fi
if command -v npx >/dev/null; then
  exec npx --yes --package "@stagedoor/cli@$version" stagedoor "$@"
fi
echo "stagedoor $version is not on the path, nor is npx: cargo install --locked stagedoor-cli@$version" >&2
exit 127
