#!/usr/bin/env python3
"""Checks that the deployment files agree with the rest of the repository.

The Dockerfile has the toolchain of rust-toolchain.toml; railway.json has known fields of the right types and names an
existing Dockerfile and route; docs/OPERATIONS.md names what railway.json cannot set, and its time for a clean exit; the
variables and secrets that the Dockerfile, the compose files and the unit of systemd set exist. Exits 1 and names each
difference.
"""

import json
import pathlib
import re
import sys

DEPLOY = pathlib.Path("deploy")
# The fields of Railway's schema (https://railway.com/railway.schema.json) that are in use. Railway rejects the whole file
# if a number is a string.
RAILWAY = {
    "$schema": str,
    "build": {"builder": str, "dockerfilePath": str, "watchPatterns": list},
    "deploy": {
        "healthcheckPath": str,
        "healthcheckTimeout": int,
        "restartPolicyType": str,
        "restartPolicyMaxRetries": int,
        "drainingSeconds": int,
    },
}
# Set for the C library and for PostgreSQL's image.
OTHER_VARIABLES = re.compile(r"MALLOC_\w+|POSTGRES_\w+")


# What railway.json cannot set: the operator does, as these sentences say.
SET_BY_OPERATOR = ["name the service `han-server`", "Select the branch `main`"]


def read(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


def first(pattern, path):
    found = re.search(pattern, read(path), re.MULTILINE)
    return found[1] if found else None


def toolchain():
    """Yields a sentence if the image compiles with another toolchain than developers do."""
    image = first(r"^FROM rust:(\d+\.\d+\.\d+)-", DEPLOY / "Dockerfile")
    pinned = first(r'^channel = "(.*)"', "rust-toolchain.toml")
    if image != pinned:
        yield f"deploy/Dockerfile: Rust {image}, but rust-toolchain.toml has {pinned}"


def fields(name, found, known):
    """Yields a sentence for each field that is not known or of another type."""
    for field, value in found.items():
        kind = known.get(field)
        if isinstance(kind, dict) and isinstance(value, dict):
            yield from fields(f"{name}{field}.", value, kind)
        elif kind is None or isinstance(kind, dict) or type(value) is not kind:
            yield f"railway.json: {name}{field} is not known to script/lib/check-deploy.py, or of another type"


def railway():
    config = json.loads(read("railway.json"))
    yield from fields("", config, RAILWAY)
    dockerfile = config["build"]["dockerfilePath"]
    if not pathlib.Path(dockerfile).is_file():
        yield f"railway.json: there is no {dockerfile}"
    path = config["deploy"]["healthcheckPath"]
    if f'route("{path}"' not in read("crates/han-server/src/server.rs"):
        yield f"railway.json: the server has no route {path}"
    for pattern in config["build"]["watchPatterns"]:
        if not pathlib.Path(pattern.lstrip("/").removesuffix("/**")).exists():
            yield f"railway.json: {pattern} matches nothing"
    operations = " ".join(read("docs/OPERATIONS.md").split())
    clean_exit = f"{config['deploy']['drainingSeconds']} seconds for a clean exit"
    for sentence in [*SET_BY_OPERATOR, clean_exit]:
        if sentence not in operations:
            yield f"docs/OPERATIONS.md: the section about Railway does not say: {sentence}"


def variables():
    known = set(re.findall(r"^  ([A-Z_]+) ", read("docs/CONFIGURATION.md"), re.MULTILINE))
    for path in [DEPLOY / "Dockerfile", DEPLOY / "han-server.service", *sorted(DEPLOY.glob("compose*.yaml"))]:
        text = read(path)
        secrets = set(re.findall(r"^  (\w+):\n    file: ", text, re.MULTILINE))
        set_here = re.findall(r"^(?:ENV |Environment=| {4,6})([A-Z][A-Z_]+)(?:=|: )(\S*)", text, re.MULTILINE)
        for name, value in set_here:
            if name.removesuffix("_FILE") not in known and not OTHER_VARIABLES.fullmatch(name):
                yield f"{path}: the server has no variable {name}"
            secret = value.removeprefix("/run/secrets/")
            if secret != value and secret not in secrets:
                yield f"{path}: {name} names the secret {secret}, which the file does not define"


def main():
    wrong = [*toolchain(), *railway(), *variables()]
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
