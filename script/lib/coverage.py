"""Sums up how many lines with statements have run, from the output of `cov show`: the path of a file, then its lines as
`number|times|text`, where lines without statements have no number of times. Unit tests are left out.

usage: coverage.py FILE
"""

import re
import sys
from collections import Counter

# What is measured, and the least percentage of each part; of all together it is LEAST.
PARTS = {
    "encryption": (r"/han-crypto/src/", 0),
    "sign-in": (r"/han-server/src/auth/", 0),
    "sync": (r"/han-server/src/sync/", 0),
    "billing": (r"/han-server/src/billing/", 90),
}
LEAST = 80
LINE = re.compile(r" *\d+\| *(\d*)\|")


def main(report: str) -> bool:
    statements: Counter[str] = Counter()
    run: Counter[str] = Counter()
    part = None
    with open(report, encoding="utf-8") as lines:
        for text in lines:
            line = LINE.match(text)
            if line is None:
                # An empty line ends a file, and a path begins one.
                path = text.strip()
                part = next((part for part, (pattern, _) in PARTS.items() if re.search(pattern, path)), None)
            elif text[line.end() :].strip() == "#[cfg(test)]":
                # The unit tests, at the end of a file, are no statements to be tested.
                part = None
            elif part and line[1]:
                statements[part] += 1
                run[part] += line[1] != "0"
    met = True
    for part, least in [*((part, least) for part, (_, least) in PARTS.items()), ("all", LEAST)]:
        total = statements.total() if part == "all" else statements[part]
        done = run.total() if part == "all" else run[part]
        percent = 100 * done / total if total else 0.0
        print(f"{part:>12}: {percent:5.1f} % ({done} of {total} lines with statements)")
        if percent < least:
            print(f"error: {part} has less than {least} %", file=sys.stderr)
            met = False
    return met


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
