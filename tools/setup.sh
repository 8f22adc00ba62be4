#!/usr/bin/env bash
# Sets up what `make` needs, on Debian and Ubuntu from nothing:
#
#   tools/setup.sh venv     .venv with this package, its dependencies and the test tools
#   tools/setup.sh relion   RELION's programs, from the distribution
#
# System packages are installed only as root or where sudo asks for no password; otherwise one
# sentence says which package to install. PYTHON names the interpreter to use (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
die() { say "$*" >&2; exit 1; }

# Runs a command as root: directly, or with sudo where that asks for no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

apt_install() {
    say "installing with apt: $*"
    # Package lists may be absent (containers) or old; if they cannot be had, install says so.
    as_root apt-get update -qq </dev/null || true
    as_root apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

TORCH=torch==2.13.0+cpu

setup_venv() {
    local python=${PYTHON:-python3}
    if ! command -v "$python" >/dev/null; then
        [ "$python" = python3 ] && may_install ||
            die "$python was not found; install Python 3.10 or newer (Debian and Ubuntu: python3)."
        apt_install python3 python3-venv
    fi
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$python is Python $version; version 3.10 or newer is needed (set PYTHON=...)."
    # Debian and Ubuntu ship the interpreter without ensurepip, which python -m venv needs.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        may_install || die "$python cannot make virtual environments; install python$version-venv."
        apt_install "python$version-venv"
    fi
    say "installing this package and its dependencies into .venv (Python $version)"
    "$python" -m venv --clear .venv
    local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
    # The build without CUDA: a tenth of the size. --retries: the index may be out of reach.
    "${pip[@]}" --retries 0 --extra-index-url https://download.pytorch.org/whl/cpu "$TORCH" ||
        say "PyTorch could not be installed; what needs it (the denoiser) is skipped."
    "${pip[@]}" --editable '.[test,benchmarks]'
}

setup_relion() {
    command -v relion_refine_mpi >/dev/null && return
    if may_install && apt_install relion; then
        return
    fi
    say "RELION was not found and could not be installed (Debian and Ubuntu: package relion);" \
        "what needs it is skipped."
}

case "${1:-}" in
    venv) setup_venv ;;
    relion) setup_relion ;;
    *) die "expected one argument, venv or relion." ;;
esac
