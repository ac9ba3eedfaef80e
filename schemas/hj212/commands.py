"""Commands and answers: what a host says to a field unit, as messages (HJ 212-2017 6.5, tables 6, 7 and 9, Appendix C).

    answer(upload)                                    # 9014 for data, 9013 for a notice; None: nobody asked for one
    answer(request, cn=REQUEST_ANSWER, code=4)        # 9011 with QnRtn, 9012 with ExeRtn
    request_history(mn, st, pw, "2061", begin, end, qn=request_number(now), version=1)
    outcome(received)                                 # what a 9011 or a 9012 says; None for other messages

An answer bears the QN of the message it answers, and the edition of that message in its flag. HJ/T 212-2005 writes that
QN into the data area, and its two ends of a time span as one item; later editions do neither.

Pure: whether an answer may be sent yet is the caller's to know. For a host that is after it has stored the data.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from schemas.errors import PacketError
from schemas.hj212.message import Message
from schemas.times import BEIJING

REQUEST_ANSWER, RESULT, NOTICE_ANSWER, DATA_ANSWER = "9011", "9012", "9013", "9014"
HEARTBEAT = "9015"
HISTORIES = ("2031", "2041", "2051", "2061")
"""The commands that ask for history: values of days, run times of days, values of minutes, values of hours."""

NO_DATA = 100
"""`ExeRtn` of a unit that has nothing of what it was asked for: the request is done all the same."""

_HOST = "91"  # the system code ST of everything that is about the exchange itself
_ANSWERS = frozenset((REQUEST_ANSWER, RESULT, NOTICE_ANSWER, DATA_ANSWER))
_RETURN = {REQUEST_ANSWER: "QnRtn", RESULT: "ExeRtn"}
_STOPS = ("2012", "2022")  # within the data commands, but notices: a host ends what 2011 and 2021 began
_WORDS = {
    REQUEST_ANSWER: {
        1: "ready to execute",
        2: "refused",
        3: "wrong password (PW)",
        4: "wrong device identifier (MN)",
        5: "wrong system code (ST)",
        6: "wrong flag (Flag)",
        7: "wrong request number (QN)",
        8: "wrong command (CN)",
        9: "wrong check sum (CRC)",
        100: "unknown fault",
    },
    RESULT: {
        1: "done",
        2: "failed, and the unit does not know why",
        3: "failed: the command's conditions are wrong",
        4: "failed: out of time",
        5: "failed: the unit is busy",
        6: "failed: the unit has a fault",
        NO_DATA: "there are no data",
    },
}


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What a field unit says of a request: that it begins (`request`, 9011), or how it went (`result`, 9012).

    `qn` is that of the request. `code` is QnRtn or ExeRtn, None where the answer has no readable one; `text` is one
    sentence for a person.
    """

    step: Literal["request", "result"]
    qn: str
    code: int | None
    text: str

    @property
    def good(self) -> bool:
        """The request was accepted, or was carried out; having no data counts as carried out."""
        return self.code == 1 or (self.step == "result" and self.code == NO_DATA)


def answer(message: Message, *, cn: str | None = None, code: int | None = None) -> Message | None:
    """The answer that the standard wants for a received message; None when its sender waits for none.

    Data are answered by 9014, notices (the heartbeat, a request for the time, a host's "stop") by 9013. `cn` asks for
    another answer, `code` is what 9011 (QnRtn) and 9012 (ExeRtn) say. Answers are never answered.

    Raises:
        RuntimeError: `code` without a command that carries one, or such a command without a `code`.
    """
    if not message.wants_answer or message.cn in _ANSWERS:
        return None
    command = cn or (DATA_ANSWER if _is_data(message.cn) else NOTICE_ANSWER)
    if (command in _RETURN) != (code is not None):
        raise RuntimeError(f"9011 and 9012 carry a code and nothing else does, but CN {command} was given {code}")
    said = {_RETURN[command]: str(code)} if code is not None else {}
    old = message.version == 0 and message.qn.isalnum()  # a comma in it would end a value of the data area
    return Message(
        cn=command,
        qn="" if old else message.qn,
        st=_HOST,
        pw=message.pw,
        mn=message.mn,
        flag=(message.flag or 0) & ~0b11,  # the edition, no parts, and no answer to the answer
        fields={"QN": message.qn} | said if old else said,
    )


def is_heartbeat(message: Message) -> bool:
    """The message only says that its sender is still there (9015 of HJ 212-2025 and of surface-water stations)."""
    return message.cn == HEARTBEAT


def request_history(
    device_mn: str, st: str, pw: str, cn: str, begin: datetime, end: datetime, *, qn: str, version: int
) -> Message:
    """The request for what a field unit has kept, from `begin` to `end`, aware; both name periods by their start.

    `cn` is one of `HISTORIES`, `version` the edition as in `Message.version`. The unit answers with 9011, sends its
    data in packets with request numbers of their own, and ends with 9012 (see `outcome`).

    Raises:
        RuntimeError: `cn` is not such a command, `version` no edition, a time is not aware, or they are the wrong way
            round.
    """
    if cn not in HISTORIES or version not in (0, 1, 2):
        raise RuntimeError(f"CN {cn} in edition {version} is not a request for history")
    if begin.tzinfo is None or end.tzinfo is None or end < begin:
        raise RuntimeError("a request for history has two aware times, the earlier one first")
    return Message(
        cn=cn,
        qn=qn,
        st=st,
        pw=pw,
        mn=device_mn,
        flag=version << 2 | 1,
        fields={"BeginTime": digits(begin), "EndTime": digits(end)},
    )


def outcome(message: Message) -> Outcome | None:
    """What a 9011 or 9012 says of a request; None for every other message."""
    name = _RETURN.get(message.cn)
    if name is None:
        return None
    given = message.fields.get(name, "")
    code = int(given) if given.isascii() and given.isdecimal() and len(given) <= 4 else None
    text = _WORDS[message.cn].get(-1 if code is None else code, f"{name} is {given[:20]!r}, which the standard has not")
    step: Literal["request", "result"] = "request" if message.cn == REQUEST_ANSWER else "result"
    return Outcome(step, message.qn or message.fields.get("QN", ""), code, text)


def request_number(instant: datetime, *, after: str = "") -> str:
    """A QN: an aware instant as 17 digits of Beijing time; or, where that is not above `after`, the next above it.

    A clock may stand still or be set back; two requests of one exchange must differ all the same.

    Raises:
        PacketError: `packet.malformed`: `after` is no request number.
    """
    number = digits(instant) + f"{instant.microsecond // 1000:03d}"
    return number if number > after else following(after)


def following(number: str) -> str:
    """The request number a millisecond later.

    Raises:
        PacketError: `packet.malformed`: `number` is not a time of 17 digits that has a next one.
    """
    try:
        if len(number) != 17 or not number.isascii():
            raise ValueError(number)
        last = datetime.strptime(number[:14], "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        later = last + timedelta(milliseconds=int(number[14:]) + 1)
    except (ValueError, OverflowError) as error:
        raise PacketError(f"no request number follows {number[:40]!r}, which is not a time of 17 digits") from error
    return digits(later) + f"{later.microsecond // 1000:03d}"


def digits(instant: datetime) -> str:
    """An aware instant as 14 digits of Beijing time, as every time in a packet is written."""
    return instant.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def _is_data(cn: str) -> bool:
    """Uploads of values, states and information; all other commands that a field unit begins are notices."""
    return cn[:1] in ("2", "3") and cn not in _STOPS
