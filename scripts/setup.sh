#!/usr/bin/env bash
# Makes .venv with everything that constraints.txt pins. Safe to kill, to repeat, and to call twice at once.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$@" >&2; exit 2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=""
for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if new_enough "$name"; then python=$name; break; fi
done
if [ -z "$python" ]; then
  found=$(python3 --version 2>&1 || true)
  fail "expected Python 3.11 or newer, got ${found:-none}" "fix: install it, then: make PYTHON=/path/to/python3.11 ..."
fi

# Two calls at once (make demo in one window, make test in another): the second waits, then finds the work done.
if command -v flock >/dev/null; then
  exec 9>.venv.lock
  flock 9
fi
if [ -e .venv/.installed ] && [ .venv/.installed -nt pyproject.toml ] && [ .venv/.installed -nt constraints.txt ]; then
  touch .venv/.installed
  exit 0
fi

echo "setup: installing into .venv with $("$python" --version); the first time takes a few minutes" >&2
if [ ! -x .venv/bin/python ] || ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  rm -rf .venv
  "$python" -m venv .venv || fail "python could not make .venv" "fix: on Debian and Ubuntu: apt-get install python3-venv"
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt --editable '.[build,samples,serve,litert,int8,npu,dev]' ||
  fail "pip could not install what constraints.txt pins; its message is above"
touch .venv/.installed
