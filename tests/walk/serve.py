"""Serves one home directory until it is told to stop: `python -m tests.walk.serve HOME`."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.home import open_home
from gateway.server import serve

if __name__ == "__main__":
    import gc, gateway.app
    gc.collect(); gc.freeze()
    serve(open_home(Path(sys.argv[1])))
