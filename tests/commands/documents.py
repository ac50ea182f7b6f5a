"""What the documents say: their commands and scripts in order, their headings and their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, "CONTRIBUTING.md", "weights/README.md", "tests/data/README.md"]

_FRONT_DOORS = {"python run_video.py": ["track"], "python -m tracker": [], "pose-tracker": []}
_INSTALLS = ("make ", "pip ", "python -m venv ", ". .venv/", ".venv/bin/")


@dataclass(frozen=True)
class Example:
    """A command line, or a script in Python; needs: why it cannot run everywhere, or nothing."""

    text: str
    is_script: bool
    needs: str = ""

    def is_possible(self) -> bool:
        """Whether it needs nothing, or a package that is installed."""
        return not self.needs or (self.needs.isidentifier() and find_spec(self.needs) is not None)


def words_of(command: str) -> list[str]:
    """The arguments of a command line of ours."""
    for door, verb in _FRONT_DOORS.items():
        if command.startswith(f"{door} "):
            return verb + shlex.split(command.removeprefix(door), comments=True)
    raise ValueError(f"{command!r} is no command of ours; say what it needs")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def read_examples(page: str) -> list[Example]:
    """All in blocks of `sh` and `python`, and whole commands in tables, in the order of the page.

    A comment `# needs …` is about its line, or alone on a line about the rest of the block; in tables it is (needs …).
    """
    parts = re.findall(r"^```(\w+)\n(.*?)^```|^\|([^\n]*)\|$", text_of(page), re.MULTILINE | re.DOTALL)
    return [example for language, block, row in parts for example in _read_part(language, block, row)]


def _read_part(language: str, block: str, row: str) -> Iterator[Example]:
    if row:
        yield from (
            _command(command, why) for command, why in re.findall(r"`(python [^`…]*)`(?: \(needs ([^)]*)\))?", row)
        )
    elif language == "python":
        (why,) = re.findall(r"^# needs (.*)\n", block) or [""]
        yield Example(block, is_script=True, needs=why)
    elif language == "sh":
        rest = ""
        for line in block.replace("\\\n", " ").splitlines():
            _, _, why = line.partition("# needs ")
            if line.startswith("#"):
                rest = why or rest
            elif line:
                yield _command(line, why or rest)


def _command(line: str, why: str) -> Example:
    return Example(line, is_script=False, needs=why or ("an installation" if line.startswith(_INSTALLS) else ""))


def anchors_of(page: str) -> set[str]:
    """What `#…` may name: GitHub's short forms of the headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_links(page: str) -> list[tuple[str, str]]:
    """File, as seen from the page, and anchor of each link and picture in this project."""
    found = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", text_of(page))
    links = [link or picture for link, picture in found]
    return [(link.partition("#")[0], link.partition("#")[2]) for link in links if "://" not in link]
