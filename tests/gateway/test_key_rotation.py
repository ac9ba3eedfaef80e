"""The rehearsal: two gateways over TLS, under load, while every kind of key is rotated at both of them.

Nothing valid is refused meanwhile, everything old verifies afterwards, and what an old key signs after its end is
refused, each by its code.
"""

from __future__ import annotations

import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from sqlalchemy import select, update

from audit.checkpoint import open_checkpoint, sign_checkpoint
from audit.errors import ReceiptError
from audit.form import REFUSAL
from audit.log import head
from audit.note import NoteSigner, parse_vkey
from audit.receipts import open_receipt, sign_receipt
from audit.verify import verify_directory
from gateway import key_rotation
from gateway.errors import ConflictError
from gateway.evidence_export import write_evidence
from gateway.ingest.parcel import NDJSON
from gateway.keyring import TOKENS_END
from gateway.party_document import is_stale, published_document
from gateway.store import feeds, tables
from gateway.store.evidence import evidence_counts
from gateway.sync.links import gateway_client_id
from gateway.sync.receive import take_receipt
from gateway.tls_rotation import rotate_authority, rotate_certificate
from partners import tables as partner_tables
from partners.client import PartnerClient
from partners.errors import PartnerRefusedError, PartnerUnreachableError
from partners.keys import OauthKey, Rotating
from partners.oauth.client import GatewayAuth
from partners.oauth.keys import load_signing_key
from partners.reach import ANYWHERE
from schemas import jws
from schemas.batch import open_batch
from schemas.errors import BatchError, SharingError, SignatureError
from schemas.times import now_millis, utc_text
from tests.gateway.hands import carry, entries, hand_in, party_at
from tests.gateway.key_hands import forged, keeper_of, own
from tests.world import (
    ANTIMONY,
    JIASHAN,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    running,
    site_line,
    wait_for,
)

USES = key_rotation.ROTATING


@pytest.fixture
def both(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Node, Node]]:
    """Wujiang, which publishes, and Jiashan on either database; each asks for the other's document all the time."""
    monkeypatch.setenv("TAIPU_KEYS__REFRESH", "0.3")
    provider, recipient = make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN, database_url)
    introduce(provider, recipient)
    bring_plan(plan_document(SITES, ANTIMONY), provider, recipient)
    with running(provider, recipient):
        yield provider, recipient


OldKeys = tuple[jws.SigningKey, OauthKey, NoteSigner]
"""What signs manifests, tokens and the log, before the rotation."""


@dataclass
class Load:
    """A station that hands in reading after reading, and a reader that asks again and again; each fetches tokens."""

    node: Node
    faults: list[SharingError] = field(default_factory=list)
    handed_in: int = 0
    asked: int = 0

    def __enter__(self) -> Self:
        station = self.node.client(kind="station", scopes=["records:submit"])
        reader = self.node.client(scopes=["feeds:read"])
        self._ending = threading.Event()

        def hand_in_next() -> None:
            station.submit(reading_line(self.handed_in), NDJSON)
            self.handed_in += 1

        def ask() -> None:
            # Every request of a client of its own, so that each needs a token of that moment.
            with_token = self.node.client(scopes=["feeds:read"]) if self.asked % 5 == 0 else reader
            with_token.feeds()
            self.asked += 1

        self._threads = [threading.Thread(target=self._repeat, args=(step,)) for step in (hand_in_next, ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(20)

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._ending.wait(0.03):
            try:
                step()
            except SharingError as error:
                self.faults.append(error)


def keys_of(node: Node) -> OldKeys:
    keys = node.gateway.keys
    return keys.manifest, keys.oauth, node.gateway.log_signer


def rotate_all(node: Node) -> dict[str, str]:
    """Rotate every kind of key up to its use, as its partner takes each document by itself; the old `kid` of each."""
    gateway = node.gateway
    before = {use: gateway.keys.in_use(use, now_millis()).kid for use in USES}
    for use in USES:
        assert key_rotation.rotate(gateway, use, by=keeper_of(node), now=now_millis()).missing
    for use in USES:
        wait_for(lambda use=use: _may_be_used(node, use))  # type: ignore[misc]
        key_rotation.rotate(gateway, use, by=keeper_of(node), now=now_millis())
    for use in USES:
        wait_for(lambda use=use: gateway.keys.in_use(use, now_millis()).kid != before[use])  # type: ignore[misc]
    return before


def _may_be_used(node: Node, use: Rotating) -> bool:
    coming = node.gateway.keys.next(use, now_millis())
    statuses = key_rotation.key_statuses(node.gateway, now=now_millis())
    return any(coming == one.key and not one.missing and not one.waits_for for one in statuses)


def let_pass(node: Node, millis: int) -> None:
    """As if the keys that have ended had done so so much earlier."""
    table = tables.own_key
    with node.gateway.database.write() as session:
        session.execute(update(table).where(table.c.ends.is_not(None)).values(ends=table.c.ends - millis))
    node.gateway.keys.forget()


def all_settled(node: Node) -> bool:
    """The end of every old key is written down, and the document that says so is the one in force."""
    node.gateway.keys.forget()
    over = all(key.over for key in node.gateway.keys.held() if key.ends is not None)
    return over and not is_stale(node.gateway, now=now_millis())


def current(node: Node) -> str:
    return published_document(node.gateway)


def states(node: Node) -> set[str]:
    """Of all deliveries to Jiashan; nobody answers for Qingpu here."""
    with node.gateway.database.read() as session:
        table = partner_tables.delivery
        return set(session.scalars(select(table.c.state).where(table.c.recipient == JIASHAN)))


def test_every_kind_of_key_is_rotated_under_load_and_nothing_valid_is_refused(
    both: tuple[Node, Node], tmp_path: Path
) -> None:
    provider, recipient = both
    hand_in(provider, site_line())
    old_keys = {node.party: keys_of(node) for node in both}
    with Load(provider) as load:
        wait_for(lambda: load.handed_in > 10)
        old = rotate_all(provider)
        receipts_by = rotate_all(recipient)["manifest"]
        so_far = load.handed_in
        wait_for(lambda: load.handed_in > so_far + 10)
    assert load.faults == []
    assert load.asked > 20
    wait_for(lambda: states(provider) == {"delivered"}, seconds=40)
    check_that_nothing_was_refused(both)
    check_that_everything_old_verifies(both, old["manifest"], receipts_by, tmp_path)
    for node in both:
        let_pass(node, TOKENS_END + int(node.gateway.settings.keys.overlap * 1000))
    wait_for(lambda: all(all_settled(node) for node in both))
    wait_for(
        lambda: all(party_at(one, other).document.serial == own(other).serial for one, other in (both, both[::-1]))
    )
    check_that_what_an_old_key_signs_is_refused(both, old_keys)
    check_that_everything_old_verifies(both, old["manifest"], receipts_by, tmp_path / "later")


def check_that_nothing_was_refused(both: tuple[Node, Node]) -> None:
    for node in both:
        with node.gateway.database.read() as session:
            assert evidence_counts(session) == {}
        assert entries(node, REFUSAL) == []


def check_that_everything_old_verifies(both: tuple[Node, Node], kid: str, receipts_by: str, folder: Path) -> None:
    """Batches under both keys, receipts under both keys, and the log."""
    provider, recipient = both
    document = party_at(recipient, provider).document
    signed_by = set()
    with recipient.gateway.database.read() as session:
        for held in feeds.heads_of(session, WUJIANG):
            for batch in feeds.batches(session, WUJIANG, held.dataset, first=1, last=held.seq):
                opened = open_batch(feeds.from_frame(batch.frame), document.manifest_keys)
                signed_by.add(jws.kid_of(opened.token))
                assert (
                    document.vouches(
                        jws.kid_of(opened.token), dataset=held.dataset, seq=batch.seq, manifest=batch.manifest
                    )
                    == "good"
                )
    assert len(signed_by) == 2
    assert kid in signed_by
    given_by = party_at(provider, recipient)
    table = partner_tables.receipt
    with provider.gateway.database.read() as session:
        tokens = session.scalars(select(table.c.token).where(table.c.direction == "in")).all()
    receipts = {jws.kid_of(token): open_receipt(token, given_by.manifest_keys) for token in tokens}
    assert len(receipts) == 2
    assert receipts_by in receipts
    for node in both:
        wait_for(lambda node=node: _all_signed(node))  # type: ignore[misc]
        with node.gateway.database.read() as session:
            checkpoint = head(session).checkpoint
        assert checkpoint is not None
        open_checkpoint(checkpoint, [parse_vkey(vkey) for vkey in own(node).log_vkeys])
        write_evidence(node.gateway, folder / node.party)
        report = verify_directory(folder / node.party, vkey=node.gateway.log_signer.vkey)
        assert report.exit_code == 0, report


def _all_signed(node: Node) -> bool:
    with node.gateway.database.read() as session:
        return head(session).signed


def check_that_what_an_old_key_signs_is_refused(both: tuple[Node, Node], stolen: Mapping[str, OldKeys]) -> None:
    provider, recipient = both
    now = now_millis()
    manifest_key, oauth_key, log_key = stolen[WUJIANG]
    # A batch.
    with provider.gateway.database.read() as session:
        newest = feeds.head(session, WUJIANG, "wj-antimony")
        frame = feeds.find_batch(session, WUJIANG, "wj-antimony", newest.seq)
    assert frame is not None
    last = open_batch(feeds.from_frame(frame.frame), own(provider).manifest_keys)
    with pytest.raises(BatchError) as batch_error:
        carry(forged(manifest_key, last), provider, recipient)
    assert batch_error.value.code == "batch.key-retired"
    # A receipt.
    table = partner_tables.receipt
    with provider.gateway.database.read() as session:
        token = session.scalars(select(table.c.token).where(table.c.manifest == newest.manifest)).one()
    known = party_at(provider, recipient)
    said = open_receipt(token, known.manifest_keys)
    with pytest.raises(ReceiptError) as receipt_error:
        take_receipt(
            provider.gateway, known, sign_receipt(stolen[JIASHAN][0], replace(said, at=utc_text(now))), now=now
        )
    assert receipt_error.value.code == "receipt.key-retired"
    # A client's assertion, at the partner.
    auth = GatewayAuth(
        issuer=recipient.url, token_endpoint=party_at(provider, recipient).document.endpoints["token"],
        client_id=gateway_client_id(WUJIANG), key=load_signing_key(oauth_key.private), scopes=["feeds:read"],
    )  # fmt: skip
    with (
        PartnerClient(recipient.url, recipient.ca_pem, auth, reach=ANYWHERE) as impostor,
        pytest.raises(PartnerRefusedError) as refused,
    ):
        impostor.feeds()
    assert (refused.value.code, refused.value.extra.get("error")) == ("partner.token-refused", "invalid_client"), (
        refused.value
    )
    # A head of the log.
    retired = {one.vkey: one.size for one in own(provider).retired.log}
    note = sign_checkpoint(log_key, (retired[log_key.vkey] or 0) + 1, secrets.token_bytes(32))
    with pytest.raises(SignatureError):
        open_checkpoint(note, [parse_vkey(vkey) for vkey in own(provider).log_vkeys])


def test_the_certificate_and_its_authority_are_renewed_while_gateways_serve(both: tuple[Node, Node]) -> None:
    provider, recipient = both
    gateway = provider.gateway
    hand_in(provider, site_line())
    with Load(provider) as load:
        before = served(provider)
        rotate_certificate(gateway, by=keeper_of(provider), now=now_millis())
        assert served(provider) != before
        made = rotate_authority(gateway, by=keeper_of(provider), now=now_millis())
        assert len(x509.load_pem_x509_certificates(own(provider).tls.ca.encode())) == 2
        with pytest.raises(ConflictError) as caught:
            rotate_authority(gateway, by=keeper_of(provider), now=now_millis())
        assert caught.value.code == "keys.waiting"
        wait_for(lambda: party_at(recipient, provider).ca_pem == own(provider).tls.ca)
        trusting = PartnerClient(provider.url, made.public, reach=ANYWHERE)
        with pytest.raises(PartnerUnreachableError):
            trusting.party_document()
        wait_for(lambda: not key_rotation.key_statuses(gateway, now=now_millis())[-1].missing)
        rotate_authority(gateway, by=keeper_of(provider), now=now_millis())
        assert trusting.party_document() == current(provider)
        trusting.close()
        so_far = load.handed_in
        wait_for(lambda: load.handed_in > so_far + 5)
    assert load.faults == []
    let_pass(provider, int(gateway.settings.keys.overlap * 1000))
    wait_for(lambda: own(provider).tls.ca == made.public)
    wait_for(lambda: party_at(recipient, provider).ca_pem == made.public)
    hand_in(provider, reading_line(90))
    wait_for(lambda: states(provider) == {"delivered"}, seconds=40)


def served(node: Node) -> str:
    """The certificate that a new connection is shown."""
    host, _, port = node.url.removeprefix("https://").partition(":")
    return ssl.get_server_certificate((host, int(port)))
