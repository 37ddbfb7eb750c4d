# shellcheck shell=bash
# Sourced at the start of every script: strict mode, the repository as working directory, and plain messages.
set -euo pipefail

# Scripts work from any directory.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# npm_ci DIRECTORY: installs the packages that its lock file names, unless they are installed.
npm_ci() {
    [[ $1/node_modules/.package-lock.json -nt $1/package-lock.json ]] || npm --prefix "$1" ci --silent ||
        die "npm could not install the packages of $1"
}

has() { command -v "$1" >/dev/null 2>&1; }

# find_reader_python: sets `python` to a Python that can run docs/examples/open_field.py. It needs two packages. If they
# are not installed, they go into a virtual environment.
find_reader_python() {
    python=python3
    if "$python" -c 'import cryptography, zstandard' 2>/dev/null; then return 0; fi
    python=target/python/bin/python
    if "$python" -c 'import cryptography, zstandard' 2>/dev/null; then return 0; fi
    { python3 -m venv target/python && "$python" -m pip install --quiet cryptography zstandard; } ||
        die "the Python packages cryptography and zstandard are missing and could not be installed.
On Debian or Ubuntu, as an administrator:  apt-get install python3-cryptography python3-zstandard"
}

# find_tools_python: sets `python` to the Python of the tools, which has the packages of script/image-steps.
find_tools_python() {
    python=$TOOLS/bin/python
    "$python" -c 'import docker.utils.build, dockerfile_parse' 2>/dev/null ||
        die "the Python packages docker and dockerfile-parse are missing: run script/bootstrap"
}

# Prints the comment at the top of the calling script and exits if its first argument asks for help.
help_if_asked() {
    case ${1:-} in
    -h | --help)
        sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    esac
}

# The directory of cargo is in the PATH of login shells, but not of scripts that a service starts.
if ! has cargo && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

# script/bootstrap installs missing lint tools here. It is last, so that installed programs take precedence.
readonly TOOLS=target/tools
PATH="$PATH:$PWD/$TOOLS/bin"
export PATH

# rustup downloads the toolchain of rust-toolchain.toml unless it is installed under that name. A machine without access
# to the download may have the same version under another name: use that one.
use_installed_toolchain() {
    local pinned name names
    if [[ -n ${RUSTUP_TOOLCHAIN:-} ]] || ! has rustup; then return 0; fi
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    names=$(rustup toolchain list | cut -d ' ' -f 1)
    [[ $'\n'$names != *$'\n'"$pinned"* ]] || return 0
    for name in $names; do
        if [[ $(rustup run "$name" rustc --version 2>/dev/null) == "rustc $pinned "* ]]; then
            export RUSTUP_TOOLCHAIN=$name
            return 0
        fi
    done
}
use_installed_toolchain
# script/bootstrap installs Node here if the machine's own is too old.
if [[ -x .node/bin/node ]]; then
    PATH=$PWD/.node/bin:$PATH
    export PATH
fi
