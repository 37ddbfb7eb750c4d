"""Executes the steps of deploy/Dockerfile and starts the result; script/image-steps calls it and documents it.

A stage is an overlay on its base, entered with chroot. The base of a stage is an earlier stage, or a file system that
takes the place of the image: this machine for rust (with the toolchain in SYSROOT), --base for debian. An instruction
or an option that this program does not know is an error.
"""

import argparse
import base64
import io
import json
import os
import pathlib
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

DOCKERFILE = pathlib.Path("deploy/Dockerfile")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a builder passes on from its own environment: the way to the network.
PASSED = re.compile(r"(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE", re.IGNORECASE)
# The program exits within ten seconds of SIGTERM.
STOPPING_SECONDS = 20
STARTING_SECONDS = 60


def fail(sentence):
    sys.exit(f"error: {sentence}")


def say(sentence):
    print(f"==> {sentence}", flush=True)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


class Stage:
    """The file system of a stage and the settings of its instructions."""

    def __init__(self, directory, image, parent, base):
        self.root = directory / "root"
        self.upper = directory / "upper"
        for path in (self.root, self.upper, directory / "work", directory / "tmp", directory / "home"):
            path.mkdir(parents=True)
        self.env = dict(parent.env) if parent else {"PATH": SYSTEM_PATH}
        self.workdir = parent.workdir if parent else "/"
        self.user = parent.user if parent else None
        self.rust = parent.rust if parent else image.startswith("rust:")
        self.entrypoint, self.command, self.health = [], [], []
        # Linux stacks two overlays, and no more: a stage can be the base of another one, once.
        lower = parent.root if parent else base
        options = f"lowerdir={lower},upperdir={self.upper},workdir={directory / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        for source, target in (("/proc", "proc"), ("/dev", "dev"), (directory / "tmp", "tmp"), (directory / "home", "root")):
            run("mount", "--rbind", source, self.root / target)
        (directory / "tmp").chmod(0o1777)
        if self.rust:
            self.add_toolchain()

    def add_toolchain(self):
        """Where the image of Rust has it, apart from rustup."""
        toolchain = self.path("/usr/local/rust")
        toolchain.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", "-o", "ro", os.environ["SYSROOT"], toolchain)
        self.env["CARGO_HOME"] = "/usr/local/cargo"
        self.env["PATH"] = f"/usr/local/cargo/bin:/usr/local/rust/bin:{SYSTEM_PATH}"

    def path(self, inside):
        """The path, outside, of a path in the stage."""
        return self.root / os.path.join("/", self.workdir, inside).lstrip("/")

    def words(self, command):
        """The command that runs `command` in the stage, as its user and in its directory."""
        user = [f"--userspec={self.user}"] if self.user else []
        enter = ["chroot", *user, str(self.root), "/bin/sh", "-c", 'cd "$0" && exec "$@"', self.workdir]
        return [*enter, *command]

    def environment(self, more=()):
        return {"HOME": "/root", **self.env, **dict(more)}


def clean_copy(target):
    """The context of a builder: the files of the repository, as .dockerignore filters them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    checkout = target / "checkout"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if os.path.isfile(name):
            copy = checkout / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, copy)
    ignored = pathlib.Path(".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in ignored if line.strip() and not line.startswith("#")]
    context = target / "context"
    for name in sorted(exclude_paths(str(checkout), patterns)):
        source = checkout / name
        if source.is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, context / name)
    shutil.rmtree(checkout)
    return context


def copy(stage, sources, words):
    """COPY: `sources` is a directory, or a stage by --from."""
    owner = None
    while words[0].startswith("--"):
        option, _, value = words.pop(0).partition("=")
        if option == "--from":
            sources = sources[value]
        elif option == "--chown":
            owner = value
        else:
            fail(f"COPY {option} is not known to script/image-steps")
    *names, target = words
    into_directory = target.endswith("/") or len(names) > 1 or target in (".", "..")
    for name in names:
        source = sources.path(name) if isinstance(sources, Stage) else sources / name
        if not source.exists():
            fail(f"COPY: {name} does not exist (is it in .dockerignore?)")
        copied = stage.path(target)
        if source.is_dir():
            shutil.copytree(source, copied, symlinks=True, dirs_exist_ok=True)
        else:
            copied = copied / source.name if into_directory or copied.is_dir() else copied
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copied)
        if owner:
            run("chown", "-R", owner, copied)


def check_toolchain(image):
    pinned = re.search(r'^channel = "(.*)"', pathlib.Path("rust-toolchain.toml").read_text(encoding="utf-8"), re.MULTILINE)
    found = run(f"{os.environ['SYSROOT']}/bin/rustc", "--version", capture_output=True, text=True).stdout.split()[1]
    wanted = image.removeprefix("rust:").split("-")[0]
    if not wanted == pinned[1] == found:
        fail(f"{DOCKERFILE} has Rust {wanted}, rust-toolchain.toml {pinned[1]}, and this machine {found}: they must agree")


def execute(directory, base):
    """Executes every instruction; returns the last stage."""
    parser = DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()), env_replace=False)
    context = clean_copy(directory)
    stages, stage = {}, None
    for step in parser.structure:
        instruction, value = step["instruction"], step["value"]
        if instruction in ("COMMENT", "LABEL", "EXPOSE"):
            continue
        say(f"{instruction} {value}")
        if instruction != "RUN" and "$" in value:
            fail(f"{DOCKERFILE}:{step['startline'] + 1}: script/image-steps does not expand variables")
        if instruction == "FROM":
            image, *name = re.split(r"\s+AS\s+", value, flags=re.IGNORECASE)
            if image.startswith("rust:"):
                check_toolchain(image)
            elif image not in stages and not image.startswith("debian:"):
                fail(f"script/image-steps has no base for {image}")
            over = pathlib.Path("/") if image.startswith("rust:") else base
            stage = Stage(directory / f"stage-{len(stages)}", image, stages.get(image), over)
            stages[name[0] if name else str(len(stages))] = stage
        elif instruction == "RUN":
            passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
            began = time.monotonic()
            run(*stage.words(["/bin/sh", "-c", value]), env=stage.environment(passed))
            say(f"done in {time.monotonic() - began:.0f} s")
        elif instruction == "COPY":
            words = shlex.split(value)
            copy(stage, stages if any(word.startswith("--from=") for word in words) else context, words)
        elif instruction == "ENV":
            stage.env.update(word.split("=", 1) for word in shlex.split(value))
        elif instruction == "WORKDIR":
            stage.workdir = os.path.join(stage.workdir, value)
            stage.path("").mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            stage.user = value
        elif instruction == "ENTRYPOINT":
            stage.entrypoint = json.loads(value)
        elif instruction == "CMD":
            stage.command = json.loads(value)
        elif instruction == "HEALTHCHECK":
            stage.health = json.loads(value.partition("CMD ")[2])
        else:
            fail(f"{instruction} is not known to script/image-steps")
    return stage


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def check_server(stage, name, environment):
    """Starts the image's program as an engine would, and uses it as an operator would."""
    say(f"starting the result on {name}")
    port = free_port()
    env = stage.environment({**environment, "PORT": str(port)})
    server = subprocess.Popen(stage.words(stage.entrypoint + stage.command), env=env)

    def inside(*words):
        done = subprocess.run(stage.words(words), env=env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            fail(f"on {name}: {shlex.join(words)} exits with {done.returncode}")
        return done.stdout

    try:
        deadline = time.monotonic() + STARTING_SECONDS
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in ("health", "ready"):
            while True:
                try:
                    body = without_proxy.open(f"http://127.0.0.1:{port}/{path}", timeout=10).read().decode()
                    break
                except OSError as error:
                    if server.poll() is not None or time.monotonic() > deadline:
                        fail(f"on {name}: /{path} does not respond 200: {error}")
                    time.sleep(0.1)
            print(f"/{path}: {body}", flush=True)
        uid = re.search(r"^Uid:\s+(\d+)", pathlib.Path(f"/proc/{server.pid}/status").read_text(encoding="ascii"), re.MULTILINE)
        if uid[1] != stage.user.split(":")[0] or uid[1] == "0":
            fail(f"on {name}: the program runs as user {uid[1]}")
        print(inside(*stage.health).strip(), flush=True)
        person = ("--create", "--user", "ada", "--team", "acme")
        if "/auth/login-link?token=" not in inside(*stage.entrypoint, "login-link", *person):
            fail(f"on {name}: login-link prints no link")
        key = inside(*stage.entrypoint, "key", "create", *person).strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": "{ me { name } }"}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )
        answer = json.load(without_proxy.open(request, timeout=10))
        if answer != {"data": {"me": {"name": "ada"}}}:
            fail(f"on {name}: the key of ada gets {answer}")
        server.send_signal(signal.SIGTERM)
        if server.wait(STOPPING_SECONDS) != 0:
            fail(f"on {name}: the program exits with {server.returncode} on SIGTERM")
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    say(f"the result works on {name}")


def check_result(stage):
    # A server on SQLite generates its secrets, beside the database in /data.
    check_server(stage, "SQLite", {})
    # As Railway sets the environment, and the secrets that an operator adds.
    holder = subprocess.Popen(
        ["script/lib/pg.sh", "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        url = holder.stdout.readline().strip()
        if not url:
            fail("PostgreSQL did not start")
        environment = {
            "DATABASE_URL": url,
            "RAILWAY_PUBLIC_DOMAIN": "han.up.railway.app",
            "KEK_SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
            "JWT_SECRET": base64.b64encode(secrets.token_bytes(48)).decode(),
        }
        check_server(stage, "PostgreSQL", environment)
    finally:
        holder.stdin.close()
        holder.wait()


def report_sizes(stage):
    total = sum(path.lstat().st_size for path in stage.upper.rglob("*") if path.is_file() and not path.is_symlink())
    program = stage.path("/usr/local/bin/han-server").stat().st_size
    say(f"han-server has {program / 1e6:.1f} MB; the last stage adds {total / 1e6:.1f} MB to its base")


def remove(directory):
    """Deletes the stages, unless something of the machine is still mounted there."""
    for root in sorted(directory.glob("stage-*/root"), reverse=True):
        subprocess.run(["umount", "--recursive", "--lazy", str(root)], stderr=subprocess.DEVNULL, check=False)
    if str(directory) in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
        fail(f"{directory} has mounts: unmount them, then delete it")
    shutil.rmtree(directory)


def main():
    parser = argparse.ArgumentParser(prog="script/image-steps", add_help=False)
    parser.add_argument("--base", type=pathlib.Path, default=pathlib.Path("/"))
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    if not (asked.base / "etc/debian_version").is_file():
        fail(f"{asked.base} is not the root of a Debian system (--base)")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="han-image-"))
    try:
        stage = execute(directory, asked.base.resolve())
        report_sizes(stage)
        check_result(stage)
    except subprocess.CalledProcessError as error:
        fail(f"{shlex.join(error.cmd[-1:])} exits with {error.returncode}")
    finally:
        if asked.keep:
            say(f"kept: {directory} (stage-N/upper contains what stage N wrote)")
        else:
            remove(directory)
    say("image-steps: every step passed")


if __name__ == "__main__":
    main()
