"""A file from a server that is slow, breaks off, is busy or lies comes whole, or one line says why not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.catalogue.server import Fault, Server, serving
from tracker.catalogue import download as module
from tracker.catalogue.download import discard, download, part_of
from tracker.errors import ModelError, OutputError

CONTENT = random.Random(0).randbytes(200_000)
HALF = len(CONTENT) // 2


@pytest.fixture
def server(monkeypatch):
    """A server of CONTENT as /file; a client that waits for 0.3 s at most."""
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        server.files["/file"] = CONTENT
        yield server


def fetch(server: Server, target: Path) -> list[float]:
    """Fetches the file; what it waited between attempts."""
    waited: list[float] = []
    download(f"{server.url}/file", target, "net", waited.append)
    assert target.read_bytes() == CONTENT
    assert {path.name for path in target.parent.iterdir()} <= {target.name, f"{target.name}.note"}
    return waited


@pytest.mark.parametrize(
    ("faults", "starts", "waited"),
    [
        pytest.param([], [0], [], id="nothing wrong"),
        pytest.param([Fault(lie=None)], [0], [], id="no length stated"),
        pytest.param([Fault(after=HALF)], [0, HALF], [1], id="cut off"),
        pytest.param([Fault(after=HALF, stalls=True)], [0, HALF], [1], id="nothing comes any more"),
        pytest.param([Fault(after=10), *[Fault(after=10)] * 9], [10 * i for i in range(11)], [1] * 10, id="again"),
        pytest.param([Fault(after=HALF), Fault(ignores_range=True)], [0, HALF], [1], id="no ranges"),
        pytest.param([Fault(after=HALF, tag='"0"')], [0, HALF], [1], id="another file since"),
        pytest.param([Fault(after=HALF, tag=None)], [0, 0], [1], id="content without a name"),
        pytest.param([Fault(after=HALF, tag='W/"1"')], [0, 0], [1], id="content with a weak name"),
        pytest.param([Fault(after=HALF), Fault(shift=1)], [0, HALF, 0], [1, 2], id="another part than asked for"),
        pytest.param([Fault(lie=100)], [0, len(CONTENT)], [1], id="longer by its word"),
        pytest.param([Fault(429, {"Retry-After": "7"})], [0, 0], [7], id="too many requests"),
        pytest.param([Fault(503, {"Retry-After": "99999"})], [0, 0], [60], id="busy for a day"),
        pytest.param([Fault(500), Fault(502), Fault(504)], [0] * 4, [1, 2, 4], id="faults of the server"),
    ],
)
def test_what_passes_is_outlasted_and_a_part_gone_on_with(server, tmp_path, capsys, faults, starts, waited):
    server.faults.extend(faults)
    assert fetch(server, tmp_path / "a.part") == waited
    ranges = [int(asked.removeprefix("bytes=")[:-1]) if asked else 0 for _, asked in server.asked]
    assert ranges == starts
    assert capsys.readouterr().err.count("; again in ") == len(waited)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Fault(404)], "it answers 404 (Not Found): it is not there and may have moved; name another source"),
        ([Fault(403)], "it answers 403 (Forbidden): it is refused; name another"),
        ([Fault(407)], "the proxy wants a password; set https_proxy=http://NAME:PASSWORD@HOST:PORT"),
        ([Fault(418)], "it answers 418 (I'm a Teapot): name another source with --mirror"),
        ([Fault(429)] * 4, "it answers 429 (Too Many Requests), 4 times; try again later"),
        ([Fault(500)] * 4, "it answers 500 (Internal Server Error), 4 times; try again later"),
        ([Fault(after=0, stalls=True)] * 4, "nothing came for 0 s, 4 times; try again later"),
        ([Fault(after=0)] * 4, "the connection broke off after 0 of 200000 bytes, 4 times; try again later"),
        ([Fault(302, {"Location": "/file"})] * 11, "it leads in a circle, or nowhere; name another source"),
        ([Fault(302, {"Location": "file:///etc/passwd"})], "it leads in a circle, or nowhere; name another source"),
    ],
)
def test_what_does_not_pass_is_told_in_one_line(server, tmp_path, faults, message):
    server.faults.extend(faults)
    with pytest.raises(ModelError) as error:
        fetch(server, tmp_path / "a.part")
    assert message in str(error.value)
    assert str(error.value).startswith(f"{server.url}/file: ")
    assert "\n" not in str(error.value)


def test_what_came_is_kept_when_it_is_given_up(server, tmp_path):
    server.faults.extend([Fault(after=HALF), *[Fault(500)] * 3])
    with pytest.raises(ModelError, match="what came is kept"):
        fetch(server, tmp_path / "a.part")
    assert part_of(tmp_path / "a.part") == f"{server.url}/file"
    assert fetch(server, tmp_path / "a.part") == []
    assert server.asked[-1] == ("/file", f"bytes={HALF}-")
    assert fetch(server, tmp_path / "a.part") == []  # as when what comes after it was interrupted
    assert server.asked[-1] == ("/file", f"bytes={len(CONTENT)}-")


def test_a_part_of_another_address_or_of_unknown_origin_is_not_gone_on_with(server, tmp_path):
    server.faults.append(Fault(after=HALF))
    server.files["/other"] = CONTENT
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.url}/other", tmp_path / "a.part", "net", interrupt)
    fetch(server, tmp_path / "a.part")
    discard(tmp_path / "a.part")
    (tmp_path / "a.part").write_bytes(b"x" * HALF)
    fetch(server, tmp_path / "a.part")
    assert [asked for _, asked in server.asked] == [None] * 3


def test_nothing_endless_fills_the_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", HALF)
    for fault in (Fault(lie=None), Fault()):
        server.faults.append(fault)
        with pytest.raises(ModelError, match=f"more comes than {HALF} bytes"):
            fetch(server, tmp_path / "a.part")
        assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_but_not_to_what_is_less_safe(server, tmp_path, monkeypatch):
    server.faults.append(Fault(302, {"Location": f"{server.url}/file", "X-Linked-ETag": f'"{"a" * 64}"'}))
    assert download(f"{server.url}/moved", tmp_path / "a.part", "net") == "a" * 64
    redirects = module._Redirects()
    with pytest.raises(module.URLError, match="which is less safe"):
        redirects.redirect_request(module.Request("https://a.example/"), None, 302, "", {}, "http://a.example/")


def test_proxies_are_kept_to(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    download("http://elsewhere.example/file", tmp_path / "a.part", "net")
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert server.asked == [("http://elsewhere.example/file", None)]


def test_a_host_that_is_not_there_and_one_that_refuses(tmp_path):
    with pytest.raises(ModelError, match="its host is not known here; go online"):
        download("http://nowhere.invalid/file", tmp_path / "a.part", "net")
    with pytest.raises(ModelError, match="that is no address"):
        download("http://no where/file", tmp_path / "a.part", "net")
    with serving() as server:
        url = server.url
    with pytest.raises(ModelError, match=r"it cannot be reached \(Connection refused\), 4 times"):
        download(f"{url}/file", tmp_path / "a.part", "net", lambda _: None)


def test_a_full_disk_is_no_fault_of_the_network(server):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    attempt = module._Attempt(f"{server.url}/file", Path("/dev/full"), "net")
    with pytest.raises(OutputError, match="No space left"), module.build_opener().open(attempt.address) as answer:
        attempt._copy(answer, None)


def interrupt(_: float) -> None:
    raise KeyboardInterrupt
