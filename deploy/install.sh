#!/bin/sh
# Makes the virtual environment $VENV with everything pinned in requirements.lock.
# Each way it can go wrong ends in one line that says what to do.
set -u
fail() { echo "messplus: $1" >&2; exit 2; }

: "${PYTHON:=python3}" "${VENV:=.venv}"
command -v "$PYTHON" >/dev/null 2>&1 || fail "no '$PYTHON' found: install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..."
version=$("$PYTHON" --version 2>/dev/null) || fail "'$PYTHON' does not run: install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "$version is too old: install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..."
free_kib=$(df -Pk . | awk 'NR==2 {print $4}')
[ "$free_kib" -gt 1500000 ] || fail "only $((free_kib / 1024)) MiB free here, the installation needs 1500 MiB: free some disk space"
log=$(mktemp) || fail "no temporary file could be made: is the disk full?"
trap 'rm -f "$log"' EXIT
if [ ! -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -c '' 2>/dev/null; then
  rm -rf "$VENV"
  "$PYTHON" -m venv "$VENV" >"$log" 2>&1 || { tail -n 3 "$log" >&2; fail "no virtual environment could be made: install your system's python3-venv package"; }
fi
echo "Installing into $VENV (about 600 MiB, once) ..."
uv_pin=$(awk '/^uv==/ {print $1; exit}' requirements.lock)
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_pin" >"$log" 2>&1 \
  && "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --require-hashes -r requirements.lock >"$log" 2>&1 \
  && "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation -e . >"$log" 2>&1 \
  || { tail -n 5 "$log" >&2; fail "the installation failed (above): is the network reachable? Run the same command again to go on"; }
touch "$VENV/.installed"
