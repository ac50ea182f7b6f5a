"""The overlay sounds as its video does: the same moments together, whatever part of it is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.clips import flashes_and_tones, write_clip, write_sounding_clip
from tests.video.clips import numbered_image as numbered
from tracker.outputs import partial_path
from tracker.video.source import open_source
from tracker.video.writer import VideoWriter

# Less than a picture of 25 per second lasts.
TOGETHER_S = 0.03


def dub(source: Path, out: Path, stop_at: int | None = None, **span: Any) -> str | None:
    """Write the pictures of a video and their sound, to the end or an interruption; what is said of it."""
    with open_source(source, **span) as frames, VideoWriter(out, fps=frames.fps, sound=frames.sound) as video:
        for frame in frames:
            video.write(frame.image, frame.time_s)
            if frame.index == stop_at:
                raise KeyboardInterrupt
    return video.note


def check_together(path: Path, expected_s: list[float]) -> None:
    flashes_s, tones_s = flashes_and_tones(path)
    assert flashes_s == pytest.approx(expected_s, abs=1e-3)
    assert tones_s == pytest.approx(flashes_s, abs=TOGETHER_S)


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.codec.canonical_name


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.ts", "aac", "aac"),  # whose packets have headers of their own
        ("a.mkv", "libopus", "opus"),
        ("a.mov", "libmp3lame", "mp3"),
        ("a.mkv", "flac", None),
        ("a.avi", "pcm_s16le", None),
        ("a.mpg", "mp2", None),
        ("a.mkv", "ac3", None),
    ],
)
@pytest.mark.parametrize("span", [{}, {"start_s": 0.51, "end_s": 1.5}], ids=["whole", "part"])
def test_sound_and_pictures_stay_together(
    tmp_path: Path, name: str, codec: str, kept: str | None, span: dict[str, float]
) -> None:
    out = tmp_path / "out.mp4"
    note = dub(write_sounding_clip(tmp_path / name, codec), out, **span)
    assert codec_of(out) == (kept or "aac")
    assert (note is None) if kept else ("is encoded as AAC" in str(note))
    check_together(out, [0.48 if span else 1.0])
    with av.open(str(out)) as container:
        length_s = float(container.duration or 0) / av.time_base
    assert length_s == pytest.approx(0.98 if span else 2.0, abs=0.05)  # a packet at most beyond the pictures


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.ts", "aac"), ("a.mkv", "libopus")])
def test_every_packet_that_is_copied_is_where_it_was(tmp_path: Path, name: str, codec: str) -> None:
    source, out = write_sounding_clip(tmp_path / name, codec), tmp_path / "out.mp4"
    dub(source, out)
    before, after = packets_of(source), packets_of(out)
    assert before[0] < 0  # what decoders begin the first picture's sound with
    assert after == pytest.approx(before, abs=2e-3)


def packets_of(path: Path) -> list[float]:
    """When packets of sound begin, seconds after the first picture."""
    with av.open(str(path)) as container:
        start: Any = container.streams.video[0]
        first_s = float(start.start_time * start.time_base)
        return [float(each.pts * each.time_base) - first_s for each in container.demux(audio=0) if each.pts is not None]


@pytest.mark.parametrize(("default", "kept"), [(None, "aac"), (0, "aac"), (1, "mp3")])
def test_of_several_tracks_the_default_or_the_first_is_kept(tmp_path: Path, default: int | None, kept: str) -> None:
    parts = [write_sounding_clip(tmp_path / f"{codec}.mkv", codec) for codec in ("aac", "libmp3lame")]
    with (
        av.open(str(parts[0])) as one,
        av.open(str(parts[1])) as two,
        av.open(str(tmp_path / "two.mkv"), "w") as target,
    ):
        sources: list[Any] = [one.streams.video[0], one.streams.audio[0], two.streams.audio[0]]
        streams = {source: target.add_stream_from_template(source) for source in sources}
        for number, source in enumerate(sources[1:]):
            streams[source].disposition = av.stream.Disposition.default if number == default else 0
        for source in sources:
            for packet in source.container.demux(source):
                if packet.dts is not None:
                    packet.stream = streams[source]
                    target.mux(packet)
            source.container.seek(0)
    note = dub(tmp_path / "two.mkv", tmp_path / "out.mp4")
    assert codec_of(tmp_path / "out.mp4") == kept
    assert note == f"sound track {2 if default else 1} of 2 is kept ({kept}), others are left out"


def test_recordings_that_were_joined_keep_their_sound(tmp_path: Path) -> None:
    one = write_sounding_clip(tmp_path / "one.ts", "aac").read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    dub(tmp_path / "two.ts", tmp_path / "out.mp4")
    check_together(tmp_path / "out.mp4", [1.0, 3.0])


def test_a_broadcast_changes_from_two_channels_to_six(tmp_path: Path) -> None:
    parts = [
        write_sounding_clip(tmp_path / f"{layout}.ts", "ac3", layout=layout).read_bytes()
        for layout in ("stereo", "5.1")
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    dub(tmp_path / "both.ts", tmp_path / "out.mp4")
    check_together(tmp_path / "out.mp4", [1.0, 3.0])


def test_what_is_interrupted_has_its_sound(tmp_path: Path) -> None:
    source, out = write_sounding_clip(tmp_path / "a.mp4", "aac"), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        dub(source, out, stop_at=40)
    check_together(partial_path(out), [1.0])


def test_pictures_do_not_wait_for_sound_that_comes_late(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as target:
        pictures, sound = target.add_stream("libx264", rate=25), target.add_stream("aac", rate=8000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            frame = av.VideoFrame.from_ndarray(numbered(index % 30), format="bgr24")
            target.mux(pictures.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts, silence.time_base = 8000, 3 * 8000, Fraction(1, 8000)
        for packet in [*pictures.encode(None), *sound.encode(silence), *sound.encode(None)]:
            target.mux(packet)
    out = tmp_path / "out.mp4"
    with open_source(tmp_path / "a.mp4") as frames, VideoWriter(out, fps=frames.fps, sound=frames.sound) as video:
        for frame in frames:
            video.write(frame.image, frame.time_s)
            if frame.index == 60:
                with av.open(str(partial_path(out))) as container:
                    assert sum(1 for _ in container.decode(video=0)) >= 25
    assert packets_of(out)[:2] == pytest.approx([3 - 1024 / 8000, 3], abs=0.01)  # encoders begin with silence


def test_other_times_have_no_sound(tmp_path: Path) -> None:
    source = write_sounding_clip(tmp_path / "a.mp4", "aac")
    assert "--fps gives the pictures other times" in str(dub(source, tmp_path / "slow.mp4", fps=50))
    assert dub(source, tmp_path / "same.mp4", fps=25) is None
    assert [len(flashes_and_tones(tmp_path / name)[1]) for name in ("slow.mp4", "same.mp4")] == [0, 1]


def test_damaged_sound_ends_no_run(tmp_path: Path) -> None:
    source = write_sounding_clip(tmp_path / "a.mkv", "flac")
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux(audio=0) if packet.pos]
    for place in places[len(places) // 2 :: 3]:
        data[place + 8 : place + 40] = bytes(32)
    source.write_bytes(data)
    dub(source, tmp_path / "out.mp4")
    assert len(flashes_and_tones(tmp_path / "out.mp4")[0]) == 1


def test_silent_videos_say_nothing(tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "a.mp4", [numbered(number) for number in range(5)])
    assert dub(silent, tmp_path / "out.mp4") is None
