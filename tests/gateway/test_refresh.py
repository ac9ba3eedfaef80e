"""Partners' documents are followed by themselves, another identity is an alarm, and an old end is no stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.form import FINDING
from gateway import party_document
from gateway.home import open_home
from gateway.store import own_keys
from gateway.sync.links import Links
from gateway.sync.refresh import EXPIRED, Refresher, refresh_once
from partners.errors import PartnerRefusedError
from schemas.errors import BatchError
from schemas.times import now_millis
from tests.gateway.hands import carry, entries, hand_in, party_at, publish
from tests.gateway.key_hands import own, revoked
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
    serve,
    site_line,
)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Wujiang, which answers, and Jiashan, which asks when a test tells it to."""
    provider, recipient = make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN)
    introduce(provider, recipient)
    bring_plan(plan_document(SITES, ANTIMONY), provider, recipient)
    serve(provider, duties=False)
    yield provider, recipient
    for node in (recipient, provider):
        node.stop()


@pytest.fixture
def links(both: tuple[Node, Node]) -> Iterator[Links]:
    links = Links(both[1].gateway)
    yield links
    links.close()


def alarm_at(node: Node) -> str:
    with node.gateway.database.read() as session:
        return own_keys.exchanges(session)[WUJIANG].alarm


def held_of(node: Node) -> int | None:
    """The serial of the node's document that Jiashan says it holds."""
    with node.gateway.database.read() as session:
        return own_keys.exchanges(session)[JIASHAN].holds


def test_a_newer_document_is_taken_and_its_party_is_told_so(both: tuple[Node, Node], links: Links) -> None:
    provider, recipient = both
    assert not refresh_once(recipient.gateway, links, party_at(recipient, provider))
    assert held_of(provider) == 1
    revoked(provider, "witness", since=None)
    assert refresh_once(recipient.gateway, links, party_at(recipient, provider))
    assert party_at(recipient, provider).document.serial == own(provider).serial == 2
    assert held_of(provider) == 2


def test_an_unknown_key_has_the_document_asked_for_at_once_and_not_again_and_again(
    both: tuple[Node, Node], links: Links
) -> None:
    provider, recipient = both
    refresher = Refresher(recipient.gateway, links, WUJIANG)
    refresher.step()
    revoked(provider, "manifest", since=None)
    hand_in(provider, site_line())
    [batch] = publish(provider)
    with pytest.raises(BatchError) as caught:
        carry(batch, provider, recipient)
    assert caught.value.code == "batch.key-unknown"
    assert recipient.gateway.asked == {WUJIANG}
    assert not refresher.step()  # too soon after the last time
    fresh = Refresher(recipient.gateway, links, WUJIANG)
    assert fresh.step()
    assert recipient.gateway.asked == set()
    assert carry(batch, provider, recipient).verdict == "accepted"


def test_a_stolen_oauth_key_of_a_partner_is_replaced_without_a_token_of_it(
    both: tuple[Node, Node], links: Links
) -> None:
    """The partner can no longer prove itself to us with what we know of it, nor we to it: the document is public."""
    provider, recipient = both
    refresh_once(recipient.gateway, links, party_at(recipient, provider))
    revoked(recipient, "oauth", since=now_millis())
    revoked(provider, "oauth", since=now_millis())
    assert refresh_once(recipient.gateway, links, party_at(recipient, provider))
    assert party_at(recipient, provider).document.serial == 2
    with pytest.raises(PartnerRefusedError):
        links.to(party_at(recipient, provider)).feeds()
    assert provider.gateway.asked == {JIASHAN}


def test_another_identity_is_an_alarm_said_once_and_changes_nothing(
    both: tuple[Node, Node], links: Links, tmp_path: Path
) -> None:
    provider, recipient = both
    known = party_at(recipient, provider)
    impostor = make_node(tmp_path / "impostor", WUJIANG)
    impostor.stop()
    other = party_document.sign_document(open_home(impostor.gateway.settings.home), now=now_millis(), serial=9)
    path = provider.gateway.settings.home / party_document.DOCUMENT_FILE
    path.write_text(other)
    for _ in range(2):
        assert not refresh_once(recipient.gateway, links, known)
    assert alarm_at(recipient) == "partner.fingerprint-differs"
    assert [entry["detail"]["code"] for entry in entries(recipient, FINDING)] == ["partner.fingerprint-differs"]
    assert party_at(recipient, provider).token == known.token
    path.write_text(provider.document)
    refresh_once(recipient.gateway, links, known)
    assert alarm_at(recipient) == ""


def test_an_expired_document_is_an_alarm_and_not_a_stop(
    both: tuple[Node, Node], links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, recipient = both
    long_ago = now_millis() - 500 * 86_400_000
    party_document.sign_document(provider.gateway.home, now=long_ago, serial=2)
    assert refresh_once(recipient.gateway, links, party_at(recipient, provider))
    assert alarm_at(recipient) == EXPIRED
    hand_in(provider, site_line())
    [batch] = publish(provider)
    assert carry(batch, provider, recipient).verdict == "accepted"
