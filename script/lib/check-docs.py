#!/usr/bin/env python3
"""Checks that the documentation refers to things that exist.

Every relative link in a Markdown file must lead to a file of the repository and, with a fragment, to a heading of it.
Every test named in the column "test" of a table in docs/SECURITY.md and docs/SPECIFICATION.md must be a function under
crates/. In docs/SPECIFICATION.md, every path must exist, each row has one of the states of its first table, and only a
row that is not built yet has no file and no test. Exits 1 and names each reference that leads nowhere.
"""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"`(?:\w+::)?([a-z0-9]+_[a-z0-9_]+)`")
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+|\w+\.(?:json|toml))`")
STATE = re.compile(r"as specified|differs: \[ADR \d+\]\(adr/[\w.-]+\)|not built yet(: .+)?")
SPECIFICATION = pathlib.Path("docs/SPECIFICATION.md")
FENCED = re.compile(r"^\s*```.*?^\s*```", re.MULTILINE | re.DOTALL)


def text_of(path):
    """The text of a Markdown file; code blocks become as many empty lines."""
    return FENCED.sub(lambda block: "\n" * block[0].count("\n"), path.read_text(encoding="utf-8"))


def anchors(path):
    """The fragments of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path):
    """Yields a sentence for each relative link that leads nowhere."""
    for number, line in enumerate(text_of(path).splitlines(), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            file = path.parent / name if name else path
            if not file.exists():
                yield f"{path}:{number}: there is no {target}"
            elif fragment and fragment not in anchors(file):
                yield f"{path}:{number}: {file} has no heading #{fragment}"


def rows(path):
    """Yields the number and the cells, by the names of their columns, of each row of a table."""
    columns = None
    for number, line in enumerate(text_of(path).splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            columns = None
        elif columns is None:
            columns = cells
        elif set(line) - set("|- "):
            yield number, dict(zip(columns, cells))


def missing_tests(path, functions):
    """Yields a sentence for each test that a table names and no crate has."""
    for number, row in rows(path):
        for name in TEST.findall(row.get("test", "")):
            if name not in functions:
                yield f"{path}:{number}: there is no test {name}"


def wrong_rows(path):
    """Yields a sentence for each row of the specification without a state, or without the files and tests of its state."""
    for number, row in rows(path):
        if "point" not in row:
            continue
        if len(row) != 4 or not STATE.fullmatch(row["state"]):
            yield f"{path}:{number}: the row must have a point, files, tests, and a state that the first table lists"
            continue
        paths = {column: PATH.findall(row[column]) for column in ("file", "test")}
        for name in paths["file"] + paths["test"]:
            if not pathlib.Path(name).exists():
                yield f"{path}:{number}: there is no {name}"
        has_test = paths["test"] or TEST.findall(row["test"])
        if row["state"].startswith("not built yet"):
            if (row["file"], row["test"]) != ("-", "-"):
                yield f"{path}:{number}: what is not built yet has neither file nor test"
        elif not paths["file"] or not has_test:
            yield f"{path}:{number}: the row names no file, or no test"


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    files = [path for path in map(pathlib.Path, listed.stdout.splitlines()) if path.is_file()]
    sources = [path.read_text(encoding="utf-8") for path in files if path.suffix == ".rs"]
    functions = {name for source in sources for name in re.findall(r"\bfn (\w+)", source)}
    wrong = [sentence for path in files if path.suffix == ".md" for sentence in broken_links(path)]
    for path in (pathlib.Path("docs/SECURITY.md"), SPECIFICATION):
        wrong += missing_tests(path, functions)
    wrong += wrong_rows(SPECIFICATION)
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
