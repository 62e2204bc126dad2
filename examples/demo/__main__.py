"""The demonstration: `python -m examples.demo [--keep-running]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.demo.show import FOLDER, Demo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--keep-running", action="store_true", help="leave it running under `dagster dev`")
    parser.add_argument("--engine", choices=("local", "spark"), default="local", help="(default: local)")
    parser.add_argument("--port", type=int, default=3000, help="of Dagster's web server (default: 3000)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="emptied first (default: .demo in the checkout)")
    arguments = parser.parse_args()
    demo = Demo(arguments.folder.resolve(), arguments.engine)
    try:
        equal = demo.show()
        if arguments.keep_running:
            demo.keep_running(arguments.port)
    except KeyboardInterrupt:
        demo.console.print("\nStopped.")
        return 130
    finally:
        demo.close()
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
