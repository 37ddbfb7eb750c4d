#!/usr/bin/env bash
# Throwaway PostgreSQL clusters: creates a cluster in a temporary directory and always deletes it at the end. Tests
# (script/test, han-testkit) and benchmarks (script/bench) use it.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: script/lib/pg.sh with [--durable] VARIABLE COMMAND [ARGUMENT…]
       script/lib/pg.sh hold [--durable]
       script/lib/pg.sh bindir

  with    starts a cluster, exports the URL of its superuser as VARIABLE, runs COMMAND, stops the cluster and exits
          with COMMAND's exit status
  hold    starts a cluster, prints the URL of its superuser as one line, and stops the cluster when standard input
          closes, which happens when the calling program exits for any reason; reads the commands "crash" and
          "restart" from standard input, and prints "done" or "failed" after each
  bindir  prints the directory of PostgreSQL's programs

--durable turns fsync on, as in production. Without it, a crash of the machine may lose data, which is acceptable for
tests but would distort benchmarks.

Set HAN_PG_BINDIR to the directory of PostgreSQL's programs if they are not in a standard place.
TEXT
}

readonly OLDEST=15
bindir='' root='' data='' port=''

# Prefers the oldest supported version, because code that works there also works on newer versions.
find_bindir() {
    local candidates=() dir version
    [[ -n "${HAN_PG_BINDIR:-}" ]] && candidates+=("$HAN_PG_BINDIR")
    while IFS= read -r dir; do candidates+=("$dir"); done < <(
        compgen -G '/usr/lib/postgresql/*/bin' | sort -V
        pg_config --bindir 2>/dev/null || true
    )
    for dir in "${candidates[@]}"; do
        [[ -x "$dir/initdb" && -x "$dir/pg_ctl" ]] || continue
        version=$("$dir/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        if ((version >= OLDEST)); then
            bindir=$dir
            return
        fi
    done
    echo "PostgreSQL $OLDEST or newer was not found (initdb, pg_ctl): run script/bootstrap, or set HAN_PG_BINDIR." >&2
    return 3
}

# PostgreSQL refuses to run as root, so root runs it as the user that the package created.
as_owner() {
    if ((EUID != 0)); then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u postgres -- "$@"
    else
        su postgres -s /bin/sh -c "$(printf '%q ' "$@")"
    fi
}

make_root() {
    if ((EUID == 0)) && ! id -u postgres >/dev/null 2>&1; then
        echo "PostgreSQL does not run as root and there is no account 'postgres': run script/bootstrap." >&2
        return 3
    fi
    local parent
    # Fall back to /tmp if TMPDIR is too long (a socket's path may have 107 bytes) or not accessible to the user that runs
    # the cluster.
    for parent in "${TMPDIR:-/tmp}" /tmp; do
        [[ ${#parent} -le 60 ]] || continue
        root=$(mktemp -d "$parent/han-pg.XXXXXXXX")
        ((EUID != 0)) || chown postgres "$root"
        if as_owner test -w "$root"; then
            return
        fi
        rm -rf "$root"
    done
    echo "PostgreSQL has no writable temporary directory: set TMPDIR to one." >&2
    return 1
}

start() {
    local durable=$1 attempt
    find_bindir
    make_root
    cd "$root"
    data=$root/data
    as_owner "$bindir/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-instructions --no-sync >"$root/initdb.log" 2>&1 || {
        cat "$root/initdb.log" >&2
        return 1
    }
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "unix_socket_directories = '$root'"
        echo "max_connections = 300"
        echo "shared_buffers = '128MB'"
        echo "timezone = 'UTC'"
        if [[ $durable == no ]]; then
            echo "fsync = off"
            echo "full_page_writes = off"
        else
            # Benchmarks read commit times.
            echo "track_commit_timestamp = on"
        fi
    } | as_owner tee -a "$data/postgresql.conf" >/dev/null

    # Ports below the ephemeral range, so that no outgoing connection uses them. PostgreSQL itself detects whether the
    # port is free, which avoids a race between checking and binding.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        port=$((15433 + (RANDOM * 7 + $$ + attempt) % 16000))
        if as_owner "$bindir/pg_ctl" start --pgdata="$data" --wait --timeout=60 --silent \
            --log="$root/server.log" --options="-p $port" >/dev/null 2>&1; then
            return
        fi
        grep -q 'could not bind\|could not create any TCP/IP' "$root/server.log" || break
    done
    echo "PostgreSQL did not start:" >&2
    tail -n 20 "$root/server.log" >&2
    return 1
}

stop() {
    local dir=$root
    root=''
    [[ -n $dir ]] || return 0
    cd /
    # The data is deleted, so skip the checkpoint.
    if [[ -e $dir/data/postmaster.pid ]]; then
        as_owner "$bindir/pg_ctl" stop --pgdata="$dir/data" --mode=immediate --silent >/dev/null 2>&1 || true
    fi
    rm -rf "$dir"
}

crash() {
    as_owner kill -KILL "$(head -n 1 "$data/postmaster.pid")" </dev/null
}

# PostgreSQL refuses to start while a backend of the killed postmaster is alive.
restart() {
    local attempt
    for attempt in {1..100}; do
        if as_owner "$bindir/pg_ctl" start --pgdata="$data" --wait --timeout=60 --silent \
            --log="$root/server.log" --options="-p $port" >/dev/null 2>&1 </dev/null; then
            return
        fi
        sleep 0.1
    done
    tail -n 20 "$root/server.log" >&2
    return 1
}

# Runs a command that `hold` has read.
control() {
    case $1 in
    crash) crash ;;
    restart) restart ;;
    *) return 1 ;;
    esac
}

url() {
    echo "postgres://postgres@127.0.0.1:$port/postgres"
}

main() {
    local verb=${1:-} durable=no
    shift || true
    if [[ ${1:-} == --durable ]]; then
        durable=yes
        shift
    fi
    case $verb in
    with)
        [[ $# -ge 2 ]] || { usage >&2; return 2; }
        local variable=$1 from=$PWD
        shift
        trap stop EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        start "$durable"
        cd "$from"
        export "$variable=$(url)"
        # In the background, so that the traps run at once on a signal, not after the command.
        "$@" <&0 &
        command=$!
        trap 'kill -INT "$command" 2>/dev/null; wait "$command"; exit 130' INT
        trap 'kill -TERM "$command" 2>/dev/null; wait "$command"; exit 143' TERM HUP
        local status=0
        wait "$command" || status=$?
        return "$status"
        ;;
    hold)
        trap stop EXIT
        trap 'exit 143' INT TERM HUP
        start "$durable"
        url
        # The calling program keeps standard input open.
        local command
        while read -r command; do
            if control "$command"; then echo "done"; else echo "failed"; fi
        done
        ;;
    bindir)
        find_bindir
        echo "$bindir"
        ;;
    -h | --help)
        usage
        ;;
    *)
        usage >&2
        return 2
        ;;
    esac
}

main "$@"
