#!/usr/bin/env bash
# What the action does (`action.yml` at the root says by which variables): `action.sh install`, then
# `action.sh run`. All of it is done even after the first fault, so that one run tells everything.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# A comment of GitHub's holds 65,536 characters.
LONGEST=60000

install() {
  local version=${VERSION:-}
  [ -n "$version" ] || version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$here/package.json")
  npm install --global --no-audit --no-fund --prefix "$RUNNER_TEMP/stagedoor" "@stagedoor/cli@$version" || return
  echo "$RUNNER_TEMP/stagedoor/bin" >>"$GITHUB_PATH"
  # Windows has it beside and not below.
  echo "$RUNNER_TEMP/stagedoor" >>"$GITHUB_PATH"
}

status=0
step() {
  echo "::group::$*"
  "$@" || { status=1; echo "::error title=Stagedoor::\`$*\` found something"; }
  echo '::endgroup::'
}

# Writes the comparison to the file, and returns 1 where it fails.
compare() {
  local out=$1 code=0
  local -a args=("$BASE:$POLICIES" "$POLICIES" --report markdown)
  [ -z "${FAIL_ON:-}" ] || args+=(--fail-on "$FAIL_ON")
  if ! git rev-parse --quiet --verify "$BASE^{commit}" >/dev/null; then
    # With the history of one commit alone, as checkouts have it by default.
    git fetch --quiet --depth=1 origin "$BASE" || {
      echo "::error title=Stagedoor::the base \`$BASE\` cannot be read: check out with \`fetch-depth: 0\`"
      return 1
    }
  fi
  if ! git cat-file -e "$BASE:$POLICIES" 2>/dev/null; then
    echo "**New policies**: \`$POLICIES\` is not in the base, so there is nothing to compare with." >"$out"
    return 0
  fi
  stagedoor diff "${args[@]}" >"$out" || code=$?
  [ "$code" -eq 0 ]
}

# Writes the comment of these policies, in place of the one before.
comment() {
  local file=$1 marker="<!-- stagedoor: $POLICIES -->" body id
  body=$RUNNER_TEMP/stagedoor-comment.md
  { echo "$marker"; head -c "$LONGEST" "$file"; } >"$body"
  if [ "$(wc -c <"$file")" -gt "$LONGEST" ]; then
    printf '\n\n…\n\nCut here: the whole of it is in the summary of the run.\n' >>"$body"
  fi
  local comments=repos/$GITHUB_REPOSITORY/issues
  id=$(gh api --paginate "$comments/$PULL_REQUEST/comments" \
    --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | tail -n 1) || return
  if [ -n "$id" ]; then
    gh api --silent --method PATCH "$comments/comments/$id" --field "body=@$body"
  else
    gh api --silent "$comments/$PULL_REQUEST/comments" --field "body=@$body"
  fi
}

run() {
  step stagedoor lint "$POLICIES" --report github
  step stagedoor test "$POLICIES" --report github
  [ -n "${BASE:-}" ] || return "$status"
  local diff=$RUNNER_TEMP/stagedoor-diff.md
  compare "$diff" || { status=1; echo '::error title=Stagedoor::the comparison fails: see the summary'; }
  [ -s "$diff" ] || return "$status"
  cat "$diff" >>"$GITHUB_STEP_SUMMARY"
  echo "diff=$diff" >>"$GITHUB_OUTPUT"
  if [ "${COMMENT:-true}" = true ] && [ -n "${PULL_REQUEST:-}" ]; then
    # From a fork nothing may be written; what it says is in the summary all the same.
    comment "$diff" || echo '::warning title=Stagedoor::the comment cannot be written; the summary has it'
  fi
  return "$status"
}

case ${1:-} in
  install) install ;;
  run)
    : "${POLICIES:?}" "${RUNNER_TEMP:?}" "${GITHUB_STEP_SUMMARY:?}" "${GITHUB_OUTPUT:?}"
    run
    ;;
  *) echo 'usage: action.sh install|run' >&2; exit 2 ;;
esac
