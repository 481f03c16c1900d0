# Sourced by the entry points: sets `python` to a Python that can run LlamaSketch, or says why not.
# shellcheck shell=bash
python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(command -v "$candidate")
    break
  fi
done
if [ -z "$python" ]; then
  echo "LlamaSketch needs Python 3.11 or newer, and none is on the PATH." >&2
  exit 1
fi
