#!/usr/bin/env bash
# Installs what packages.apt lists where apt and root are at hand; otherwise says what is missing and goes on.
set -uo pipefail
cd "$(dirname "$0")/.."

has() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }

command -v dpkg-query >/dev/null || { echo "system packages: no dpkg here; tests that need packages.apt are skipped" >&2; exit 0; }
missing=()
while read -r name _; do
  case "$name" in "" | \#*) continue ;; esac
  has "$name" || missing+=("$name")
done <packages.apt
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "system packages: not root, so these are not installed and what needs them is skipped: ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "system packages: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get update -qq >"$log" 2>&1 || echo "system packages: apt-get update failed: $(tail -n 1 "$log")" >&2
for name in "${missing[@]}"; do  # one by one: a package that this release does not have must not keep the others out
  apt-get install -y -qq --no-install-recommends "$name" >"$log" 2>&1 ||
    echo "system packages: $name could not be installed, what needs it is skipped: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")" >&2
done
exit 0
