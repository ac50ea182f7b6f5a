"""Track people's poses in a video: `python run_video.py --input clip.mp4` (see `--help`)."""

import sys

try:
    from tracker.cli import main
except ModuleNotFoundError as error:
    if error.name != "tracker.cli":
        raise
    import tracker

    sys.exit(f"error: {tracker.__file__} is imported instead of the package tracker; rename that file")

if __name__ == "__main__":
    sys.exit(main(["track", *sys.argv[1:]]))
