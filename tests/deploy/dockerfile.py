"""Runs a Dockerfile's COPY and RUN lines without a container engine: in a root of their own.

The root is an overlay over this machine's: the lines see its programs and change none of its files. It stands in for
the base image, so FROM is not looked at. Mounts live in a mount namespace and end with the last line. Needs root.
"""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

KNOWN = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "EXPOSE", "CMD"}


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction and its argument, continued lines joined."""

    word: str
    text: str


def read_steps(dockerfile: Path) -> list[Step]:
    """The instructions in order; one that this module does not know is an error."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    steps = [Step(*line.split(maxsplit=1)) for line in joined]
    unknown = {step.word for step in steps} - KNOWN
    if unknown:
        raise ValueError(f"instructions {sorted(unknown)} are not known here")
    return steps


def script(steps: list[Step], context: str) -> str:
    """The steps up to USER as a shell script; later ones change no file."""
    lines = ["set -eu", "cd /"]
    for step in steps:
        if step.word == "USER":
            break
        if step.word == "WORKDIR":
            lines += [f"mkdir -p {step.text}", f"cd {step.text}"]
        elif step.word == "COPY":
            source, target = shlex.split(step.text)
            lines += [f"mkdir -p {target}", f"cp -R {context}/{source}/. {target}/"]
        elif step.word == "RUN":
            lines.append(f"({step.text})")
    return "\n".join(lines) + "\n"


def run_steps(
    dockerfile: Path, context: Path, scratch: Path, *, then: str, network: bool
) -> subprocess.CompletedProcess[str]:
    """Run the steps over an overlay in `scratch`, an empty folder on a disk, and a last command in the same root.

    The context is seen at /context.
    """
    (scratch / "steps.sh").write_text(script(read_steps(dockerfile), "/context") + then + "\n")
    mounts = f"""
        set -eu
        mount -t tmpfs tmpfs {scratch}/layers
        mkdir {scratch}/layers/upper {scratch}/layers/work {scratch}/layers/root
        mount -t overlay overlay -o lowerdir=/,upperdir={scratch}/layers/upper,workdir={scratch}/layers/work \\
          {scratch}/layers/root
        cd {scratch}/layers/root
        mkdir context
        mount --bind {context} context
        mount --rbind /proc proc
        mount --rbind /dev dev
        cp {scratch}/steps.sh steps.sh
        exec chroot . sh /steps.sh
    """
    (scratch / "layers").mkdir()
    options = ["--mount"] if network else ["--mount", "--net"]
    return subprocess.run(
        ["unshare", *options, "sh", "-c", mounts], capture_output=True, text=True, check=False, timeout=800
    )
