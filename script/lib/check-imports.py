#!/usr/bin/env python3
"""Checks that the crates import each other only as docs/ARCHITECTURE.md allows.

Reads the dependencies of each crate from `cargo metadata`, and the crates that are built from `cargo tree` (metadata also
lists optional dependencies that no feature enables). Dev-dependencies are exempt: tests may import any crate. The
coordinator is built without the server's features and drivers. Also reads the sources: no import cycle may exist between
files in different folders of a crate, and no function of han-db takes a transaction together with a scope or a
database. Exits with status 1 and prints each violation.
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

# Each crate of the workspace, and the crates that it may import. A crate without an entry is an error.
MAY_IMPORT = {
    "han-types": set(),
    "han-transcript": {"han-types"},
    "han-crypto": {"han-types"},
    "han-db": {"han-types", "han-transcript", "han-crypto"},
    "han-api": {"han-types", "han-transcript", "han-db"},
    "han-http": {"han-types", "han-api"},
    "han-server": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api", "han-http"},
    "han-coordinator": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api", "han-http"},
    # Dev-only crates: no product crate may import them.
    "han-testkit": {"han-types"},
    "han-bench": {"han-types", "han-transcript", "han-crypto", "han-db", "han-api", "han-testkit"},
}

# External crates that only some crates may import, with the reason.
ONLY_IN = [
    (re.compile(r"^sea-(orm|query|schema)"), {"han-db"}, "SeaORM types do not leave han-db"),
    (re.compile(r"^sqlx"), {"han-db", "han-testkit", "han-bench"}, "SQL is written in han-db"),
    (re.compile(r"^axum"), {"han-http", "han-server", "han-coordinator", "han-testkit"}, "axum does not enter db or api"),
    (re.compile(r"^aws-lc-rs$"), {"han-crypto"}, "raw cryptography is private to han-crypto"),
]

# Crates without I/O must not import crates that do I/O.
PURE = {"han-types", "han-transcript", "han-crypto"}
DOES_IO = re.compile(r"^(tokio|hyper|reqwest|sqlx|sea-orm|axum|notify)(-|$)")

NEVER = {"ring", "openssl", "openssl-sys", "native-tls"}


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments, "--locked"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: cargo {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def broken_edges(packages):
    """Yields a message for each import that breaks a rule."""
    ours = {package["name"] for package in packages}
    for package in packages:
        name = package["name"]
        if name not in MAY_IMPORT:
            yield f"{name} has no entry in MAY_IMPORT: add one with the crates that it may import"
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
                yield f"{name} imports {other}: {name} must not do I/O"


def banned_crates():
    """Yields a message for each banned crate that is built for any platform."""
    tree = cargo("tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--target", "all", "--format", "{p}")
    built = {line.split()[0] for line in tree.splitlines() if line.strip()}
    for name in sorted(NEVER & built):
        yield f"{name} is built: cargo tree --workspace --target all --invert {name}"


# What the coordinator is built without: crates, and features of our crates.
SERVER_CRATES = {"sqlx-postgres"}
SERVER_FEATURES = {"han-api": "team", "han-db": "postgres"}


def server_parts(package):
    """Yields a message for each crate and feature of the server that `package` is built with."""
    tree = cargo(
        *("tree", "--package", package, "--edges", "normal", "--prefix", "none", "--target", "all", "--format", "{p}|{f}")
    )
    built = {}
    for line in tree.splitlines():
        crate, _, features = line.removesuffix("(*)").partition("|")
        if crate.strip():
            built.setdefault(crate.split()[0], set()).update(features.strip().split(","))
    for name in sorted(SERVER_CRATES & built.keys()):
        yield f"{package} is built with {name}: cargo tree --package {package} --edges normal --invert {name}"
    for name, feature in SERVER_FEATURES.items():
        if feature in built.get(name, ()):
            yield f"{package} is built with the feature {feature} of {name}, which only the server needs"


def source_leaks(packages):
    """Yields a message for each re-export of SeaORM, sqlx or sea-query from han-db."""
    for package in packages:
        if package["name"] != "han-db":
            continue
        for file in sorted(pathlib.Path(package["manifest_path"]).parent.glob("src/**/*.rs")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                if re.match(r"\s*pub use (::)?(sea_orm|sqlx|sea_query)", line):
                    yield f"{file}:{number} re-exports a type that must stay in han-db: {line.strip()}"


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


# What may stand in a source and is no import: comments, strings, characters.
NO_CODE = re.compile(
    r"//[^\n]*|/\*.*?\*/|\bb?r(#*)\".*?\"\1|\"(?:\\.|[^\"\\])*\"|'(?:\\.[^']*|[^'\\])'", re.DOTALL
)
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*mod\s+\w+\s*\{")
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:$])(\w+(?:\s*::\s*\w+)+)")
ITEM = re.compile(r"\b(?:fn|struct|enum|union|trait|type|const|static|macro_rules!)\s+(\w+)")


def code_of(file):
    """A source without comments, strings and test modules."""
    code = NO_CODE.sub(" ", file.read_text(encoding="utf-8"))
    while found := TEST_MODULE.search(code):
        end, depth = found.end(), 1
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        code = code[: found.start()] + code[end:]
    return code


def leaves(tree, prefix=()):
    """Yields (path, name) for each name that a `use` tree brings in; the name of a glob is `*`."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    if not brace:
        path, _, alias = (part.strip() for part in tree.partition(" as "))
        path = prefix + tuple(part.strip() for part in path.split("::") if part.strip())
        if path and path[-1] == "self" and len(path) > 1:
            path = path[:-1]
        if path:
            yield path, alias or path[-1]
        return
    prefix += tuple(part.strip() for part in head.split("::") if part.strip())
    part, depth = "", 0
    for character in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if part.strip():
                yield from leaves(part, prefix)
            part = ""
        else:
            part += character


class Crate:
    """The modules of a crate, and which file imports what from which."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for file in sorted(root.rglob("*.rs")):
            module = file.relative_to(root).with_suffix("").parts
            if module[-1] in ("mod", "lib") or (module == ("main",) and not (root / "lib.rs").exists()):
                module = module[:-1]
            if module[:1] not in (("bin",), ("main",)):
                self.files[module] = file
        self.code = {module: code_of(file) for module, file in self.files.items()}
        self.names = {
            module: [
                (self.absolute(module, path), name)
                for tree in USE.findall(code)
                for path, name in leaves(tree)
                if self.absolute(module, path) is not None
            ]
            for module, code in self.code.items()
        }

    def absolute(self, module, path):
        """A path from the root of the crate; `None` for one that leads to another crate."""
        first, rest = path[0], path[1:]
        if first == "crate":
            return rest
        if first == "self":
            return module + rest
        if first == "super":
            if not module:
                return None
            return self.absolute(module[:-1], ("self", *rest) if rest[:1] != ("super",) else rest)
        return module + path if module + path[:1] in self.files else None

    def defining(self, path, seen=frozenset()):
        """The module that defines what a path names, past re-exports; `None` where that is another crate."""
        if path in seen:
            return None
        seen |= {path}
        depth = next(n for n in range(len(path), -1, -1) if path[:n] in self.files)
        module, rest = path[:depth], path[depth:]
        if not rest or rest[0] == "*":
            return module
        if rest[0] in ITEM.findall(self.code[module]):
            return module
        globs = []
        for target, name in self.names[module]:
            if name == rest[0]:
                return self.defining(target + rest[1:], seen)
            if name == "*":
                globs.append(target[:-1])
        for target in globs:
            found = self.defining(target + rest, seen)
            if found is not None and rest[0] in ITEM.findall(self.code[found]):
                return found
        return module

    def imports(self):
        """For each module the modules whose items it names."""
        edges = {}
        for module, code in self.code.items():
            paths = [target for target, _ in self.names[module]]
            for text in PATH.findall(USE.sub(" ", code)):
                path = self.absolute(module, tuple(part.strip() for part in text.split("::")))
                if path is not None:
                    paths.append(path)
            edges[module] = {self.defining(path) for path in paths} - {None, module}
        return edges

    def folder(self, module):
        """The folder that a module belongs to; `noun.rs` belongs to `noun/` where there is one."""
        file = self.files[module]
        own = file.with_suffix("")
        return own if own.is_dir() else file.parent

    def name(self, module):
        return self.files[module].relative_to(self.root).as_posix()


def shortest_cycle(edges, module, other):
    """The shortest cycle that begins with the import of `other` by `module`; `None` if there is none."""
    came_from, queue = {other: module}, collections.deque([other])
    while queue and module not in came_from:
        step = queue.popleft()
        for following in sorted(edges[step]):
            if following not in came_from:
                came_from[following] = step
                queue.append(following)
    if module not in came_from:
        return None
    cycle = [module]
    while len(cycle) == 1 or cycle[-1] != module:
        cycle.append(came_from[cycle[-1]])
    return cycle[::-1]


def import_cycles(packages):
    """Yields a sentence for each import cycle between folders, the shortest first.

    The first import of a reported cycle is left out of account afterwards: another cycle through it is not reported.
    """
    for package in packages:
        crate = Crate(pathlib.Path(package["manifest_path"]).parent / "src")
        edges = crate.imports()
        while True:
            between = [
                (module, other)
                for module in sorted(edges)
                for other in sorted(edges[module])
                if crate.folder(module) != crate.folder(other)
            ]
            found = [cycle for edge in between if (cycle := shortest_cycle(edges, *edge))]
            if not found:
                break
            cycle = min(found, key=len)
            edges[cycle[0]].remove(cycle[1])
            names = " -> ".join(crate.name(module) for module in cycle)
            yield f"{package['name']}: import cycle between folders: {names}"


def main():
    packages = json.loads(cargo("metadata", "--format-version", "1", "--no-deps"))["packages"]
    wrong = [
        *broken_edges(packages),
        *banned_crates(),
        *server_parts("han-coordinator"),
        *source_leaks(packages),
        *loose_contexts(packages),
        *import_cycles(packages),
    ]
    for message in wrong:
        print(f"error: {message}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
