"""The drawings of the documents: self-contained, small, and readable on light and dark pages."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

SVG = "{http://www.w3.org/2000/svg}"
FOLDER = Path(__file__).resolve().parents[1] / ".github" / "how"
NAMES = ("network", "loss", "propagation", "similarity", "matching")

pytestmark = pytest.mark.parametrize("path", [FOLDER / f"{name}.svg" for name in NAMES], ids=NAMES)


def test_nothing_but_shapes_and_text(path: Path) -> None:
    """GitHub shows no scripts and loads nothing else for a picture in a page."""
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 15_000
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
    assert not tags & {"script", "image", "foreignObject", "a", "animate"}
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in text
    assert "@font-face" not in text


def test_everything_referred_to_is_defined_and_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    defined = [element.get("id") for element in ET.fromstring(text).iter() if element.get("id")]
    assert len(defined) == len(set(defined))
    referred = set(re.findall(r'(?:href="|url\()#([\w-]+)', text)) | {"title", "desc"}
    assert referred == set(defined)


def test_the_paper_is_drawn_first_and_covers_the_picture(path: Path) -> None:
    root = ET.parse(path).getroot()
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"
    assert width == 800
    described = {SVG + name for name in ("title", "desc", "style", "defs")}
    paper = next(element for element in root if element.tag not in described)
    assert paper.tag == f"{SVG}rect"
    assert (float(paper.attrib["width"]), float(paper.attrib["height"])) == (width - 1, height - 1)
    red, green, blue = bytes.fromhex(paper.attrib["fill"].removeprefix("#"))
    assert min(red, green, blue) > 240


def test_text_lies_on_the_paper(path: Path) -> None:
    root = ET.parse(path).getroot()
    texts = list(root.iter(f"{SVG}text"))
    assert texts
    for text in texts:
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        assert 0 < x < 800
        assert 12 <= y < float(root.attrib["height"]) - 4
