"""Track people's poses in a video: `python run_video.py --input clip.mp4` (see `--help`)."""

import sys

from tracker.cli import main

if __name__ == "__main__":
    sys.exit(main(["track", *sys.argv[1:]]))
