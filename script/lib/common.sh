# shellcheck shell=bash
# What every script here begins with: strictness, the repository as working directory, and plain messages.
# Sourced, never run.
set -euo pipefail

# Scripts work from wherever they are called.
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

# Prints the comment at the top of the calling script, and ends, where its first argument asks for help.
help_if_asked() {
    case ${1:-} in
    -h | --help)
        sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    esac
}

# rustup puts cargo where login shells look, which scripts started by a service do not.
if ! has cargo && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
fi

# script/bootstrap installs Node here if the machine's own is too old.
if [[ -x .node/bin/node ]]; then
    PATH=$PWD/.node/bin:$PATH
    export PATH
fi
