"""The page in a real browser: needs Chromium and `pip install playwright`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import TIMES_S, texture
from tests.commands.test_serve import ENGINE, PNG
from tracker.job.job import Settings
from tracker.job.live import LiveView
from tracker.job.web import Address
from tracker.types import Frame, TrackedPoses

playwright = pytest.importorskip("playwright.sync_api")
uvicorn = pytest.importorskip("uvicorn")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
DEADLINE_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore"),  # of playwright's
]


@pytest.fixture(scope="module")
def url(models: list[str]) -> Iterator[str]:
    """A server that runs."""
    import threading

    from tracker.serve.limits import Limits
    from tracker.serve.server import create_app, open_service

    settings, address = Settings(detector=Path(models[1]), pose_model=Path(models[3])), Address(port=0)
    with open_service(settings, ENGINE, Limits(upload_mb=2)) as service, address.bind() as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(service, address), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE_CAMERA])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """The page, in whose scripts nothing went wrong."""
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    yield page
    page.close()
    assert errors == []


def until(page: Any, script: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not page.evaluate(script):
        assert time.monotonic() < deadline, page.inner_text("aside")
        page.wait_for_timeout(50)


def choose(page: Any, name: str, content: bytes, kind: str = "") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def point_at_nose(page: Any, *, taps: bool = False) -> str:
    """What is said of the first person's nose, as soon as anything is."""
    deadline = time.monotonic() + DEADLINE_S
    while not (said := _point_at_nose(page, taps=taps)) and time.monotonic() < deadline:
        page.mouse.move(0, 0)
    return said


def _point_at_nose(page: Any, *, taps: bool) -> str:
    x, y, width, height = page.evaluate("follow(), [...shown.people[0].keypoints[0].slice(0, 2), ...shown.size]")
    box = page.locator("#frame").bounding_box()
    point = page.touchscreen.tap if taps else page.mouse.move
    point(box["x"] + (x + 0.5) * box["width"] / width, box["y"] + (y + 0.5) * box["height"] / height)
    return str(page.inner_text("#tip"))


def test_a_picture(page: Any, tmp_path: Path) -> None:
    choose(page, "a.png", PNG, "image/png")
    page.wait_for_selector("#links button")
    assert page.inner_text("#status").startswith("2 people in ")
    assert point_at_nose(page) == "nose 0.90 · person 1"
    page.focus("#overlay")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#overlay", "aria-label") == "left eye 0.90 · person 1"
    assert page.locator("details").count() == 2
    page.select_option("#heatmap", "nose")
    until(page, "/^Highest peak of nose: 0[.][89]/.test(document.getElementById('status').textContent)")
    saved = {}
    for text in ("Overlay (PNG)", "JSON", "CSV"):
        with page.expect_download() as download:
            page.click(f"#links >> text={text}")
        saved[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    assert list(saved) == ["a_overlay.png", "a_poses.json", "a_poses.csv"]
    drawn = cv2.imdecode(np.frombuffer(saved["a_overlay.png"], np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == texture().shape
    assert len(json.loads(saved["a_poses.json"])["people"]) == saved["a_poses.csv"].count(b"\n") - 1 == 2


def test_a_finger(browser: Any, url: str) -> None:
    page = browser.new_page(has_touch=True)
    page.goto(url)
    choose(page, "a.png", PNG, "image/png")
    page.wait_for_selector("#links button")
    assert point_at_nose(page, taps=True) == "nose 0.90 · person 1"
    page.close()


@pytest.mark.parametrize(("kind", "carries"), [("DragEvent", "dataTransfer"), ("ClipboardEvent", "clipboardData")])
def test_a_picture_that_is_dropped_or_pasted(page: Any, kind: str, carries: str) -> None:
    page.evaluate(
        """([bytes, kind, carries]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "d.png", { type: "image/png" }));
            const event = kind === "DragEvent" ? "drop" : "paste";
            document.body.dispatchEvent(new window[kind](event, { [carries]: data, bubbles: true, cancelable: true }));
        }""",
        [list(PNG), kind, carries],
    )
    page.wait_for_selector("#links button")
    assert page.inner_text("#status").startswith("2 people in ")


def test_a_clip(page: Any, clip: Path) -> None:
    choose(page, "b.mp4", clip.read_bytes())  # of no kind that the browser knows: the server tells
    page.wait_for_selector("#links a", timeout=1000 * DEADLINE_S)
    assert page.inner_text("#status").startswith(f"2 people in {len(TIMES_S)} frames.")
    until(page, "document.getElementById('video').readyState >= 2 && document.getElementById('frame').style.width")
    # People who are carried, as those of later frames, score less.
    page.evaluate("document.getElementById('video').pause(), document.getElementById('video').currentTime = 0")
    assert point_at_nose(page) == "nose 0.90 · person 1"
    assert page.inner_text("#list .person:last-child") == "2\n0.0–0.5 s, 10 frames"
    page.evaluate("document.getElementById('video').currentTime = 0.1")
    page.click("#list .person >> nth=0")
    until(page, "document.getElementById('video').currentTime === 0")
    with page.expect_download() as download:
        page.click("#links >> text=Overlay (MP4)")
    assert download.value.suggested_filename == "b_overlay.mp4"


def test_the_webcam(page: Any) -> None:
    page.click("#camera")
    until(page, "/^2 people; .* pictures.s/.test(document.getElementById('status').textContent)")
    assert page.evaluate("shown.people.map((person) => person.track_id)") == [1, 2]
    page.click("#snap")
    page.wait_for_selector("#links button")
    assert page.evaluate("shown.kind") == "picture"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "x.png: this is no picture (JPEG, PNG, WebP, BMP) and no clip"),
        (PNG[:60], "x.png is no image or is damaged"),
        (bytes(2_100_000), "x.png has 3 MB; the most are 2 MB."),
    ],
)
def test_a_wrong_file(page: Any, content: bytes, words: str) -> None:
    choose(page, "a.png", PNG, "image/png")
    page.wait_for_selector("#links button")
    choose(page, "x.png", content, "image/png")
    page.wait_for_selector("#error:not([hidden])")
    assert page.is_visible("#drop")
    assert page.is_hidden("#frame")
    assert page.inner_text("#error").startswith(words)


def test_two_at_once_and_one_after_another(page: Any, browser: Any, url: str, clip: Path) -> None:
    other = browser.new_page()
    other.goto(url)
    choose(page, "b.mp4", clip.read_bytes(), "video/mp4")
    for each in (page, other):
        choose(each, "a.png", PNG, "image/png")
    for each in (page, other):
        each.wait_for_selector("#links button")
        assert each.inner_text("#status").startswith("2 people in ")
    other.close()


@pytest.mark.parametrize("width", [320, 1440])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    choose(page, "a.png", PNG, "image/png")
    page.wait_for_selector("#links button")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_live_view(browser: Any) -> None:
    page = browser.new_page()
    with LiveView(Address(port=0), "clip.mp4") as view:
        page.goto(view.url)
        for index in range(20):
            view.show(Frame(index, float(index * Fraction(1, 25)), texture()), TrackedPoses.empty(17), texture)
            page.wait_for_timeout(50)
        until(page, "document.getElementById('picture').naturalWidth === 96")
        until(page, "document.getElementById('source').textContent === 'clip.mp4'")
        assert float(page.inner_text("#fps")) > 0
        page.keyboard.press("Space")
        assert page.inner_text("#state") == "Paused; the tracker goes on."
        assert page.get_attribute("#picture", "src").startswith("data:image/jpeg")
        page.click("#pause")
        view.show(Frame(20, 0.8, texture()), TrackedPoses.empty(17), texture)
        until(page, "document.getElementById('state').textContent === ''")
    until(page, "document.getElementById('state').textContent === 'The run has ended.'")
    assert page.is_disabled("#pause")
    page.close()
