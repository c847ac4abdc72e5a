"""What a finished job releases, from its coordinator; the files themselves are `fedcredit.job.released`."""

from collections.abc import Mapping
from pathlib import Path

from fedcredit.job.released import released_files
from server.coordinator import Coordinator


def release_files(coordinator: Coordinator) -> dict[str, bytes]:
    """Name and content of every released file."""
    return released_files(
        coordinator.plan, coordinator.dictionary, coordinator.progress, coordinator.receipt_envelopes()
    )


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each in one step."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(content)
        partial.replace(target)
