"""`taipu serve HOME` that ends with whoever started it: `python -m tests.walk.serve HOME`.

Its standard input is a pipe that nobody writes to. A test run that is killed closes it, and leaves no gateway behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from gateway.cli import app


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app(["serve", *sys.argv[1:]])
