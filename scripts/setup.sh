#!/bin/sh
# Makes a virtual environment (default: .venv) with everything the recipes and the tests need.
# uv comes from pip, because it installs in seconds what takes pip minutes.
set -eu
venv=${1:-.venv}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "diffapf needs Python 3.10 or newer; $python is $("$python" --version 2>&1). Try: make PYTHON=python3.11 …" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
install() { "$venv/bin/python" -m uv pip install --python "$venv/bin/python" --constraint constraints.txt "$@"; }

echo "Installing PyTorch and the project into $venv (a minute or two, once) …"
install torch setuptools wheel ninja
install --editable '.[train,dev]'
# WORLD and SPTK are compiled here, which needs a C++ compiler.
install --editable '.[voices]' || echo "pyworld and pysptk could not be installed: tests of fitted voices will be skipped." >&2
install --editable '.[quality]' || echo "pesq could not be installed: tables of voices go without PESQ." >&2
# The peers are only compared with; torchlpc is compiled here, which needs a C++ compiler.
install --editable '.[peers]' || echo "The peers (torchlpc, philtorch, torchaudio) could not be installed: tests that compare with them will be skipped." >&2
install --editable '.[hosts]' || echo "The hosts (pedalboard, wasmtime, ziglang) could not be installed: tests that play plugins in them will be skipped." >&2
