"""Whether the released files are those that follow from the replayed job."""

from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import FedcreditError
from fedcredit.job.progress import Progress
from fedcredit.job.released import pretty, released_files
from fedcredit.plan import Plan
from fedcredit.verify.checks import Check, all_or, failed, unchecked
from fedcredit.verify.run_files import RunFiles
from fedcredit.wire.canonical import parse_json

# Logarithms differ in their last digits from one machine's library to another's; integers and bytes do not.
_CLOSE = 1e-9
_NAMES = {
    "counts.json": ("counts", "every released count is the signed sums' own"),
    "evaluation.json": ("evaluation", "every figure follows from the released sums"),
    "job.json": ("job", "who took part, was left out and gave a receipt is as the steps say"),
}


def check_released(
    files: RunFiles, plan: Plan, dictionary: DataDictionary, progress: Progress, receipts: Mapping[str, bytes]
) -> list[Check]:
    """Compare every released file with the one that the job gives.

    Parameters
    ----------
    receipts
        Envelopes in the job's store.
    """
    try:
        expected = released_files(plan, dictionary, progress, {})
    except (FedcreditError, ValueError, ArithmeticError, LookupError) as error:
        return [failed("released model", "", f"nothing can be released from the last state ({error})")]
    expected["job.json"] = _with_receipts(expected["job.json"], receipts)
    found = [problem for name, content in expected.items() for problem in _compare(files, name, content)]
    found += _copies(files)
    checks = all_or(found, "released model", "model.json is what the signed sums give")
    for name, detail in _NAMES.values():
        checks += all_or(found, name, detail)
    return checks


def differences(stated: Any, true: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401  (JSON is any)
    """Where two JSON values differ, floats by more than the last digits."""
    if isinstance(stated, dict) and isinstance(true, dict):
        for key in sorted({*stated, *true}):
            missing = object()
            yield from differences(stated.get(key, missing), true.get(key, missing), f"{path}.{key}".lstrip("."))
    elif isinstance(stated, list) and isinstance(true, list) and len(stated) == len(true):
        for place, (left, right) in enumerate(zip(stated, true, strict=True)):
            yield from differences(left, right, f"{path}[{place}]")
    elif not _same(stated, true):
        yield path or "the whole value"


def _same(stated: Any, true: Any) -> bool:  # noqa: ANN401
    if isinstance(stated, float) and isinstance(true, float):
        return isclose(stated, true, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return type(stated) is type(true) and bool(stated == true)


def _compare(files: RunFiles, name: str, true: bytes) -> Iterator[Check]:
    check, _ = _NAMES.get(name, ("released model", ""))
    if name in {"plan.json", "dictionary.yaml"}:
        return  # checked before anything was replayed
    content = files.read(name)
    if content is None:
        optional = name.startswith("model.safetensors")
        yield unchecked(check, name, "it is not in the run") if optional else failed(check, name, "it is missing")
    elif name in _NAMES:
        yield from _compare_json(check, name, content, true)
    elif content != true:
        yield failed(check, name, "it is not the model that the signed sums give")


def _compare_json(check: str, name: str, content: bytes, true: bytes) -> Iterator[Check]:
    try:
        stated = parse_json(content)
    except ValueError as error:
        yield failed(check, name, f"it cannot be read ({error})")
        return
    for path in differences(stated, parse_json(true)):
        yield failed(check, f"{name}, {path}", "it says something else than the signed messages")


def _with_receipts(job: bytes, receipts: Mapping[str, bytes]) -> bytes:
    return pretty({**parse_json(job), "receipts": sorted(receipts)})


def _copies(files: RunFiles) -> Iterator[Check]:
    """A simulation's folder shows plan and model a second time, for its page."""
    if files.released == files.run:
        return
    for name in ("plan.json", "model.json"):
        copy = files.run / name
        if copy.is_file() and copy.read_bytes() != files.read(name):
            yield failed("released model", name, "it is another one than in the released folder")
