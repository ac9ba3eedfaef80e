"""How commands end: the exit codes, and which error ends in which.

The codes are public: scripts rely on them, and the help of `taipu` lists them.
"""

from __future__ import annotations

from enum import IntEnum

from partners.errors import PartnerRefusedError, PartnerUnreachableError
from schemas.errors import SharingError


class ExitCode(IntEnum):
    """What a script may tell apart. The two verifiers say 3 of what cannot be read; they reach nobody."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    BAD_INPUT = 3
    SOME_REFUSED = 4
    NOT_VERIFIED = 5
    NOT_AUTHORISED = 6
    INTERRUPTED = 130


EXIT_CODES = """\
\b
Exit codes:
  0    done; of a verification: it holds
  1    failed; of `audit verify`: tampering is proved
  2    the command was not written as it should be; of `audit verify`: it cannot be proved
  3    nobody was reached, try again later; of a verification: the input cannot be read
  4    some of the input was refused, the rest was taken
  5    `batch verify`: these are not the bytes that the provider signed
  6    not authorised: the gateway does not know this client, or does not let it do this
  130  interrupted"""


def exit_code_of(error: SharingError) -> ExitCode:
    """The code a command ends with that could not go on for `error`."""
    if isinstance(error, PartnerUnreachableError) or error.code == "database.unreachable":
        return ExitCode.UNREACHABLE
    if error.code == "input.needed":
        return ExitCode.USAGE
    refused = isinstance(error, PartnerRefusedError)
    if refused and (error.code == "partner.token-refused" or error.extra.get("status") in (401, 403)):
        return ExitCode.NOT_AUTHORISED
    return ExitCode.FAILED
