"""What one process of the demonstration runs: `python -m gateway.demo.node HOME`.

Its standard input is a pipe that nobody ever writes to. When the process at the other end is gone, for whatever reason,
the pipe closes, and this process ends too: no gateway outlives its demonstration.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from gateway.home import open_home
from gateway.logging import configure_logging
from gateway.server import serve

_GRACE = 10  # seconds to stop by itself


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home = open_home(Path(sys.argv[1]))
    configure_logging(home.settings)
    serve(home)
