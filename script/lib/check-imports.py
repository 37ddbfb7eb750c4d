#!/usr/bin/env python3
"""Holds the workspace to its layers, as docs/ARCHITECTURE.md draws them.

Reads `cargo metadata` for what each crate names in its Cargo.toml, and `cargo tree` for what is really built
(metadata also lists optional dependencies that no feature turns on). Dev-dependencies are exempt: tests may
reach anywhere. Reads han-db's source for what may not stand beside a transaction, too. Exits 1 and names each edge that breaks a
rule.
"""

import json
import pathlib
import re
import subprocess
import sys

# Each crate of the workspace and the ones it may import. A crate that is not listed fails.
MAY_IMPORT = {
    "han-types": set(),
    "han-transcript": {"han-types"},
    "han-crypto": {"han-types"},
    "han-db": {"han-types", "han-transcript", "han-crypto"},
    "han-api": {"han-types", "han-transcript", "han-db"},
    "han-server": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api"},
    "han-coordinator": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api"},
    # Dev-only crates: nothing that ships may import them.
    "han-testkit": {"han-types"},
    "han-bench": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api", "han-testkit"},
}

# External crates that only some of ours may name, and why.
ONLY_IN = [
    (re.compile(r"^sea-(orm|query|schema)"), {"han-db"}, "SeaORM types do not leave han-db"),
    (re.compile(r"^sqlx"), {"han-db", "han-testkit", "han-bench"}, "SQL is written in han-db"),
    (re.compile(r"^axum"), {"han-server", "han-coordinator", "han-testkit"}, "axum does not enter db or api"),
    (re.compile(r"^aws-lc-rs$"), {"han-crypto"}, "raw cryptography is private to han-crypto"),
]

# Crates without I/O may not name what does it.
PURE = {"han-types", "han-transcript", "han-crypto"}
DOES_IO = re.compile(r"^(tokio|hyper|reqwest|sqlx|sea-orm|axum|notify)(-|$)")

NEVER = {"ring", "openssl", "openssl-sys", "native-tls"}


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments, "--locked"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: cargo {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def broken_edges(packages):
    """Yields a sentence for each import that breaks a rule."""
    ours = {package["name"] for package in packages}
    for package in packages:
        name = package["name"]
        if name not in MAY_IMPORT:
            yield f"{name} has no row in MAY_IMPORT: say there what it may import"
            continue
        for dependency in package["dependencies"]:
            other = dependency["name"]
            if dependency["kind"] == "dev":
                continue
            if other in ours and other not in MAY_IMPORT[name]:
                yield f"{name} imports {other}: it may import only {', '.join(sorted(MAY_IMPORT[name])) or 'nothing of ours'}"
            for pattern, allowed, why in ONLY_IN:
                if pattern.search(other) and name not in allowed:
                    yield f"{name} imports {other}: {why}"
            if name in PURE and DOES_IO.search(other):
                yield f"{name} imports {other}: it does no I/O"


def banned_crates():
    """Yields a sentence for each banned crate that is built for any platform."""
    tree = cargo("tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--target", "all", "--format", "{p}")
    built = {line.split()[0] for line in tree.splitlines() if line.strip()}
    for name in sorted(NEVER & built):
        yield f"{name} is built: cargo tree --workspace --target all --invert {name}"


def source_leaks(packages):
    """Yields a sentence where a public signature of han-db speaks SeaORM: re-exports are the way it would leak."""
    for package in packages:
        if package["name"] != "han-db":
            continue
        for file in sorted(pathlib.Path(package["manifest_path"]).parent.glob("src/**/*.rs")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                if re.match(r"\s*pub use (::)?(sea_orm|sqlx|sea_query)", line):
                    yield f"{file}:{number} re-exports what may not leave han-db: {line.strip()}"


# What has a list of parameters or of fields.
NAMED = re.compile(r"\b(fn|struct)\s+(\w+)")
TRANSACTION = re.compile(r"\b(ScopedTx|SystemTx|ActingTx|Tx)\b")
CARRIED = re.compile(r"\b(Scope|Db)\b")


def balanced(text, start, opening, closing):
    """The end of what begins with `opening` at `start`."""
    depth = 0
    for end in range(start, len(text)):
        depth += {opening: 1, closing: -1}.get(text[end], 0)
        if depth == 0:
            return end + 1
    return len(text)


def beside_a_transaction(source):
    """Yields (offset, kind, name, type) for each function's parameters, or struct's fields, that have a transaction
    and what a transaction carries."""
    # Of the same length, without what is no code and without arrows, which are no brackets.
    source = re.sub(r"//[^\n]*", lambda comment: " " * len(comment[0]), source).replace("->", "  ")
    for found in NAMED.finditer(source):
        start = found.end()
        if source.startswith("<", start):
            start = balanced(source, start, "<", ">")
        start += len(source[start:]) - len(source[start:].lstrip())
        if source[start : start + 1] not in ("(", "{"):
            continue
        pair = "()" if source[start] == "(" else "{}"
        listed = source[start : balanced(source, start, *pair)]
        if TRANSACTION.search(listed):
            for carried in sorted(set(CARRIED.findall(listed))):
                yield found.start(), found[1], found[2], carried


def loose_contexts(packages):
    """Yields a sentence for each function or struct of han-db that has a transaction and a scope or a database: the
    transaction carries both, and the two could disagree. What a transaction consists of is defined in tx.rs."""
    for package in packages:
        if package["name"] != "han-db":
            continue
        sources = pathlib.Path(package["manifest_path"]).parent / "src"
        for file in sorted(sources.glob("**/*.rs")):
            source = file.read_text(encoding="utf-8")
            for offset, kind, name, carried in beside_a_transaction(source):
                if kind == "struct" and file == sources / "tx.rs":
                    continue
                line = source.count("\n", 0, offset) + 1
                yield f"{file}:{line} {kind} {name} has a transaction and a {carried}: take it from the transaction"


def main():
    packages = json.loads(cargo("metadata", "--format-version", "1", "--no-deps"))["packages"]
    wrong = [*broken_edges(packages), *banned_crates(), *source_leaks(packages), *loose_contexts(packages)]
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
