# Sourced by the other scripts: finds or makes the Python environment and installs mindlong into it.
# MINDLONG_VENV=FOLDER  use (or make) this virtual environment; default: .venv in the checkout
# --here                use the Python that is active now
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() { echo "error: $*" >&2; exit 1; }

find_python() {
  for name in "${PYTHON:-}" python3.11 python3.12 python3.10 python3 python; do
    [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 || continue
    "$name" -c 'import sys; sys.exit(not ((3, 10) <= sys.version_info[:2] < (3, 13)))' 2>/dev/null && { command -v "$name"; return; }
  done
  fail "no Python 3.10, 3.11 or 3.12 found, which mindlong runs on; install one, or name it: PYTHON=/path/to/python3.11"
}

# setup_python EXTRA [--here]: sets PY. A stamp of setup.py keeps the second call to seconds.
setup_python() {
  local extra=$1 here=${2:-} stamp want
  if [ "$here" = --here ]; then
    PY=$(command -v python || command -v python3) || fail "no active Python"
    stamp=$("$PY" -c 'import sys; print(sys.prefix)')/.mindlong-$extra
  else
    local venv=${MINDLONG_VENV:-$ROOT/.venv} base
    case "$venv" in /*) ;; *) venv=$PWD/$venv ;; esac
    if [ ! -x "$venv/bin/python" ]; then
      base=$(find_python) || exit 1
      echo "making a virtual environment in $venv"
      "$base" -m venv "$venv" || fail "could not make a virtual environment in $venv; on Debian and Ubuntu: apt-get install python3-venv"
    fi
    PY=$venv/bin/python
    stamp=$venv/.mindlong-$extra
  fi
  want=$(cd "$ROOT" && cat setup.py mindlong/version.txt | cksum; echo "$ROOT")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
    echo "installing mindlong and what it needs (about 1 GB the first time) ..."
    (cd "$ROOT" && "$PY" -m pip install --quiet --disable-pip-version-check -e ".[$extra]") || fail "the installation failed; the lines above say why"
    printf '%s' "$want" > "$stamp" 2>/dev/null || true
  fi
}
