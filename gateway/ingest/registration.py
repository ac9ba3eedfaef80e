"""Registering data loggers: from a document, with what their codes mean checked before anything is kept."""

from __future__ import annotations

from audit.entry import make_entry
from audit.form import DEVICES_REGISTERED
from audit.log import append
from gateway.service import Gateway
from schemas.devices import Device, DeviceError, parse_devices
from schemas.factors import Factors
from schemas.mappings import MeaningError, check_meaning
from schemas.times import utc_text

_NAMED = 100  # devices that one log entry names; an entry is short


def bring_devices(gateway: Gateway, document: bytes, *, now: int) -> list[Device]:
    """Register the data loggers of a document; what was held for them is released soon after. `now` in ms UTC.

    Raises:
        DeviceError, LimitError: the document is not valid; nothing has changed.
    """
    devices = list(parse_devices(document).values())
    _check_codes(devices, gateway.governed.at(now)[Factors])
    with gateway.database.write() as session:
        gateway.devices.register(session, devices, now=now)
        detail = {"devices": [device.mn for device in devices[:_NAMED]], "count": len(devices)}
        append(session, make_entry(DEVICES_REGISTERED, at=utc_text(now), party=gateway.party, detail=detail))
    gateway.signals.arrived.send()
    return devices


def _check_codes(devices: list[Device], factors: Factors) -> None:
    """That no code says by its name that it is another factor than the one it is registered as, antimony above all."""
    faults: list[tuple[str, str]] = []
    for index, device in enumerate(devices):
        for code, known in device.factors.items():
            try:
                check_meaning(code, known.factor, factors)
            except MeaningError as error:
                faults.append((f"/devices/{index}/factors/{code}", error.detail))
    if faults:
        detail = "; ".join(f"{pointer}: {text}" for pointer, text in faults)
        raise DeviceError(detail, code="device.contradicts", pointers=[pointer for pointer, _ in faults])
