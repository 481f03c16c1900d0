# Sourced by the entry points: sets `python` to a Python that can run LlamaSketch, or says why not.
# shellcheck shell=bash

# The distribution's Python comes first, if it can make virtual environments: it is built with all
# optimisations. One that a version manager has compiled often is not, and is a quarter slower.
python=
for candidate in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python; do
  needs=sys
  [ "$candidate" = /usr/bin/python3 ] && needs="ensurepip, sys, venv"
  if "$candidate" -c "import $needs; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; then
    python=$(command -v "$candidate")
    break
  fi
done
if [ -z "$python" ]; then
  echo "LlamaSketch needs Python 3.11 or newer, and none is on the PATH." >&2
  exit 1
fi
