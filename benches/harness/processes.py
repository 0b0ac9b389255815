"""Servers and loads as processes of their own: built as released, each on a core, and gone with this program."""

import contextlib
import json
import os
import platform
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

START_SECONDS_MAX = 20
RUN_SECONDS_MAX = 90  # beside what is measured


class Failure(Exception):
    """One line that says what cannot go on, and why."""


def tell(text):
    """Progress, for people."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def cargo(directory, binary, *options):
    """Builds a program as it is released, but for these options."""
    command = ["cargo", "build", "--release", "--locked", "--bin", binary, *options]
    command += ["--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in reversed(made) if m.get("executable") and m["target"]["name"] == binary)


def first_line(command):
    try:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{Path(command[0]).name} does not run here: {error}") from None
    return output.splitlines()[0]


def machine():
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else []
    name = re.sub(r"\((R|TM)\)", "", names[0]) if names else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


@contextlib.contextmanager
def started(command, core, stderr):
    """A process on a core of its own, which ends with the block, and with this program however that ends."""
    if os.cpu_count() > 1 and shutil.which("taskset"):
        command = ["taskset", "--cpu-list", str(core), *command]
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
    with subprocess.Popen(command, text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def report_of(generator, seconds):
    """What a `frameloop bench --json` found out in so many seconds."""
    try:
        output, complaint = generator.communicate(timeout=seconds + RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Failure("the load does not end") from None
    if not output:
        raise Failure(f"nothing was measured: {complaint.strip()}")
    report = json.loads(output)
    kinds = ("errors", "lost", "unsent", "duplicated", "reordered")
    faults = ", ".join(f"{kind} {report[kind]}" for kind in kinds if report[kind])
    if faults:
        raise Failure(f"{faults}: {report['first_error']}" if report["first_error"] else faults)
    return report


def wait_until_listening(server, log):
    """The URL that a server prints once it listens."""
    if not select.select([server.stdout], [], [], START_SECONDS_MAX)[0]:
        raise Failure(f"the server does not listen after {START_SECONDS_MAX} s")
    line = server.stdout.readline()
    if not line.startswith("listening on "):
        server.kill()
        server.wait()
        raise Failure(f"the server does not start: {line.strip() or complaint_in(log)}")
    return line.removeprefix("listening on ").strip()


def complaint_in(log):
    """The line of standard error that says most."""
    log.seek(0)
    lines = log.read().splitlines() or ["it said nothing"]
    return next((line.strip() for line in lines if "error" in line.lower()), lines[-1])
