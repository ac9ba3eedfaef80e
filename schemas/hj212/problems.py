"""How this codec says what is wrong: an error ends a packet, a finding goes along with one.

A `PacketError` means that nothing was taken from the packet. Its codes:

    packet.no-header        bytes that belong to no packet: not `##` and a length
    packet.truncated        the input ends inside the packet
    packet.length-wrong     the length field does not lead to the packet's end
    packet.crc-wrong        the bytes do not give the check sum that follows them
    packet.key-missing      the data area is encrypted, and no key is registered for its device
    packet.key-wrong        the registered key does not open the data area, or the packet is damaged
    packet.too-large        a data segment above `MAX_SEGMENT`, or one to be sent above the standard's 1,024 bytes
    packet.part-missing     a part of a message that was cut in the middle, without the part before or after it
    packet.malformed        not a data segment: no CP, no CN, two contradicting header fields, a control character
    packet.encoding-wrong   text that is not in the encoding of its device
    packet.time-invalid     a measurement without a possible DataTime
    packet.mn-invalid       a measurement of an unregistered device whose MN cannot name a site

A `Finding` in `Frame.deviations` or `Message.deviations` names a rule of the standard that the packet breaks although
it was understood:

    packet.crc-lower-case, packet.over-1024, packet.length-digits, packet.cipher-printed,
    packet.parts-joined, packet.part-open                                                     of the frame
    packet.mn-missing, packet.mn-nonstandard, packet.qn-missing, packet.qn-malformed,
    packet.st-missing, packet.flag-missing, packet.rf-malformed, packet.number-malformed,
    packet.field-order, packet.field-name, packet.field-unknown, packet.unencrypted           of the header
    packet.blank, packet.encoding, packet.item-empty, packet.item-malformed,
    packet.data-time-millis, packet.field-repeated, packet.value-ambiguous                    of the data area

A `Finding` of `to_observations` names what was not taken, while the other values of the packet went on; those in
`NOTED` only say something about values that were taken:

    packet.value-malformed      a value that is no plain decimal
    packet.value-ambiguous      a value given twice and differently
    packet.flag-malformed       a factor with two flags, or with an endless one: none of its values
    packet.factor-malformed     a code that cannot name a factor: none of its values
    packet.factor-repeated      a second code for a factor that has been given already: none of its values
    packet.attribute-unknown    an attribute that its command does not carry
    packet.field-unknown        a value of no factor
    packet.part-open            the last value of a part whose next part, which may have its other half, is missing
    packet.command-unread       values under a command of HJ 212-2025 that is not read here: none of them
    packet.period-assumed       noted: minute data whose period nobody registered
    packet.sample-time          noted: a SampleTime that is no time; the value is taken without it
"""

from __future__ import annotations

import msgspec

from schemas.errors import PacketError

NOTED = frozenset(("packet.period-assumed", "packet.sample-time"))
"""Findings of `to_observations` that leave nothing out."""


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One deviation or refusal inside a packet.

    `code` is stable; `text` is one sentence for a person; `factor` and `attribute` are as the packet wrote them, empty
    when the finding is about the whole packet.
    """

    code: str
    text: str
    factor: str = ""
    attribute: str = ""


def packet_error(code: str, detail: str, *, number: int, offset: int) -> PacketError:
    """The error of the packet that is the `number`-th of its input (from 1) and starts at byte `offset` (from 0)."""
    place = f"packet {number}, byte {offset}"
    return PacketError(detail, code=code, pointers=[place], extra={"packet": number, "offset": offset})
