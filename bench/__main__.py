"""`python -m bench [--quick] [NAME …]`: measure, print, and write `bench/results.json`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.databases import ENGINES, psycopg_address, running_postgres
from bench.ingest import measure_ingest
from bench.machine import describe_machine
from bench.rounds import Measure, Ratio

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    ...
