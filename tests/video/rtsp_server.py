"""A camera that can be pulled out: GStreamer's RTSP server, for a Python that has it, such as Debian's.

    /usr/bin/python3 tests/video/rtsp_server.py PORT FOLDER FPS

sends the files of the folder, an H.264 picture each, again and again to rtsp://127.0.0.1:PORT/live.
"""

import sys
from itertools import cycle
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

H264 = "video/x-h264,stream-format=byte-stream,alignment=au"
CAMERA = f"appsrc name=camera is-live=true do-timestamp=true format=time caps={H264}"


def serve(port: str, folder: Path, fps: float) -> None:
    """Until it is killed."""
    pictures = [path.read_bytes() for path in sorted(folder.iterdir())]

    def begin(_: object, media: GstRtspServer.RTSPMedia) -> None:
        camera, coming = media.get_element().get_by_name("camera"), cycle(pictures)
        GLib.timeout_add(
            round(1000 / fps),
            lambda: camera.emit("push-buffer", Gst.Buffer.new_wrapped(next(coming))) == Gst.FlowReturn.OK,
        )

    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(f"( {CAMERA} ! h264parse config-interval=1 ! rtph264pay name=pay0 pt=96 )")
    factory.connect("media-configure", begin)
    server = GstRtspServer.RTSPServer(service=port)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    Gst.init(None)
    serve(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
