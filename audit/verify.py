"""The offline verifier: what an evidence directory proves, and what it does not.

Needs the standard library, `cryptography`, this package's pure modules and those parts of `schemas` that verify a batch file;
no database, no network, no gateway. It believes one key, the log's, best given by the auditor, who compared it by telephone.
Hostile evidence ends in a report, never in an exception; nothing is ever written but the auditor's own state file.

The checks, by the number of their row:

     1  the log's checkpoint is signed by the log's key
     2  every entry, hashed again, makes the signed root
     3  every hash tile is the one recomputed from the entries
     4  every entry has the form of an entry of this party
     5  the log begins with the one seen at the last visit (only with a state file)
     6  every batch file is signed by its provider, whole, and filed under its own name
     7  the batches of a feed follow on each other by number and predecessor
     8  every batch is in the log, and no other batch under its number
     9  every receipt is signed by the party that gives it
    10  every entry promised in a receipt of this party is in the log
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.errors import EvidenceError, ReceiptError
from audit.evidence import BatchFile, Evidence, open_evidence, read_file
from audit.form import BATCH_PUBLISHED, BATCH_RECEIVED, BATCH_REFUSED
from audit.note import NoteVerifier, parse_vkey
from audit.receipts import PROMISE, Receipt, open_receipt, receipt_hash
from audit.replay import Asked, Replay, replay
from audit.report import Finding, Outcome, Report, Row, gravest, unreadable
from audit.visits import Visit, read_visit, write_visit
from schemas import jws
from schemas.batch import Batch, open_batch
from schemas.errors import BatchError, SharingError, SignatureError
from schemas.times import to_millis
