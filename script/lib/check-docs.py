#!/usr/bin/env python3
"""Checks that the documentation refers to things that exist.

Every relative link in a Markdown file must lead to a file of the repository and, with a fragment, to a heading of it.
Every test named in the column "test" of a table in docs/SECURITY.md must be a function under crates/. Exits 1 and names
each reference that leads nowhere.
"""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"`(?:\w+::)?([a-z0-9]+_[a-z0-9_]+)`")
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


def missing_tests(path, functions):
    """Yields a sentence for each test that a table names and no crate has."""
    column = None
    for number, line in enumerate(text_of(path).splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            column = None
        elif column is None:
            column = cells.index("test") if "test" in cells else -1
        elif 0 <= column < len(cells):
            for name in TEST.findall(cells[column]):
                if name not in functions:
                    yield f"{path}:{number}: there is no test {name}"


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    files = [path for path in map(pathlib.Path, listed.stdout.splitlines()) if path.is_file()]
    sources = [path.read_text(encoding="utf-8") for path in files if path.suffix == ".rs"]
    functions = {name for source in sources for name in re.findall(r"\bfn (\w+)", source)}
    wrong = [sentence for path in files if path.suffix == ".md" for sentence in broken_links(path)]
    wrong += missing_tests(pathlib.Path("docs/SECURITY.md"), functions)
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
