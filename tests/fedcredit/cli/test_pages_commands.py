"""Every command line on the project's pages names a command that exists, with options that it has."""

import re
from pathlib import Path

import click
import pytest
from typer.main import get_command

import clients.__main__ as node
import server.__main__ as coordinator
from fedcredit.cli import app

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAMS = {"fedcredit": app, "python -m server": coordinator.app, "python -m clients": node.app}
COMMANDS = {name: get_command(program) for name, program in PROGRAMS.items()}
_LINE = re.compile(rf"(?:^|[\s`/(])({'|'.join(PROGRAMS)})((?: +[^\s`]+)+)", re.MULTILINE)


def lines_of(page: Path) -> list[tuple[str, list[str]]]:
    """Programs and words of inline code and code blocks; a line goes on after a backslash, and inline code anywhere."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    code = [block.replace("\\\n", " ") for block in blocks] + [one.replace("\n", " ") for one in inline]
    return [(program, words.split()) for one in code for program, words in _LINE.findall(one)]


def problem_of(program: str, words: list[str]) -> str | None:
    command, context = COMMANDS[program], click.Context(COMMANDS[program])
    for number, word in enumerate(words):
        if not isinstance(command, click.Group):
            known = {option for one in command.params for option in one.opts} | {"--help"}
            given = {re.split(r"[=\]),.;]", rest.strip("[]"))[0] for rest in words[number:] if "--" in rest[:3]}
            return f"has no {', '.join(sorted(given - known))}" if given - known else None
        if not re.fullmatch(r"[a-z][a-z-]*[,;|]?", word):
            return None  # prose, a path, or a place for any command
        found = command.get_command(context, word.rstrip(",;|"))
        if found is None:
            return f"has no command {word!r}"
        command = found
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_commands_exist(page):
    found = [(program, words, problem_of(program, words)) for program, words in lines_of(page)]
    assert not [f"{program} {' '.join(words)} {problem}" for program, words, problem in found if problem]


def test_what_does_not_exist_is_noticed():
    assert len([one for page in PAGES for one in lines_of(page)]) > 100
    assert problem_of("fedcredit", ["ledger", "shew", "SITE.yaml"]) == "has no command 'shew'"
    assert problem_of("fedcredit", ["ledger", "show", "SITE.yaml", "[--jason]"]) == "has no --jason"
    assert problem_of("python -m server", ["plan", "COORDINATOR.yaml", "PLAN.yaml", "--out", "F"]) is None
