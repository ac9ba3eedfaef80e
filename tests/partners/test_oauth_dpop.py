"""Proofs of possession, and the memories that hold them to one use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from partners import tables
from partners.errors import AuthenticationError, NonceNeededError
from partners.oauth.dpop import make_proof, same_address, verify_proof
from partners.oauth.nonces import WINDOW, Nonces
from partners.oauth.replay import MEMORY_SPAN, DatabaseReplay, MemoryReplay, Replay, forget_expired
from schemas.errors import LimitError
from tests.partners.oauth_world import NOW, TOKEN_URI, key_of, sign

# RFC 9449, sections 4.1 and 7.1: the two proofs and the token of the standard, byte for byte.
RFC_TOKEN_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVV"
    "FVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndD"
    "M0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-Gx"
    "A6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_INSTANT = 1_562_262_616_000


NONCES = Nonces(b"a secret")


def check(proof: str, *, now: int = NOW, replay: Replay | None = None, uri: str = TOKEN_URI) -> str:
    replay = replay or MemoryReplay(now - 3_600_000)
    return verify_proof([("DPoP", proof)], method="POST", uri=uri, replay=replay, nonces=NONCES, now=now)


def test_the_proof_of_the_standard_is_taken_and_gives_the_thumbprint_of_the_standard() -> None:
    replay = MemoryReplay(0)
    assert (
        check(RFC_TOKEN_PROOF, now=RFC_INSTANT, uri="https://server.example.com/token", replay=replay) == RFC_THUMBPRINT
    )


@pytest.mark.parametrize("kind", ["ES256", "PS256", "Ed25519"])
def test_a_proof_of_each_accepted_algorithm_is_taken(kind: str) -> None:
    key = key_of(kind)
    claims = {"jti": "a", "htm": "POST", "htu": TOKEN_URI, "iat": NOW // 1000}
    proof = sign({"typ": "dpop+jwt", "alg": kind, "jwk": key.as_dict(private=False)}, claims, key)
    assert check(proof) == key.thumbprint()


def test_our_own_proofs_are_taken_once() -> None:
    replay = MemoryReplay(NOW - 3_600_000)
    proof = make_proof(key_of("ES256"), "POST", TOKEN_URI + "?a=b#c", NOW)
    assert check(proof, replay=replay) == key_of("ES256").thumbprint()
    with pytest.raises(AuthenticationError) as caught:
        check(proof, replay=replay)
    assert caught.value.code == "token.proof-replayed"


def test_no_two_proofs_of_ours_are_alike() -> None:
    replay = MemoryReplay(NOW - 3_600_000)
    for _ in range(3):
        check(make_proof(key_of("ES256"), "POST", TOKEN_URI, NOW), replay=replay)


SAME = {
    "the same": ("https://a.example/x", True),
    "query and fragment": ("https://a.example/x?y=1#z", True),
    "scheme and host in capitals": ("HTTPS://A.Example/x", True),
    "the default port": ("https://a.example:443/x", True),
    "an escaped letter": ("https://a.example/%78", True),
    "another path": ("https://a.example/X", False),
    "a final slash": ("https://a.example/x/", False),
    "another port": ("https://a.example:8443/x", False),
    "another scheme": ("http://a.example/x", False),
    "another host": ("https://b.example/x", False),
    "a user": ("https://a.example@b.example/x", False),
    "a user at the right host": ("https://b@a.example/x", False),
    "an escaped slash": ("https://a.example%2Fx", False),
    "an impossible port": ("https://a.example:99999/x", False),
    "a broken address": ("https://[a.example/x", False),
    "a path alone": ("/x", False),
    "nothing": ("", False),
    "no text": (None, False),
}


@pytest.mark.parametrize("name", SAME)
def test_addresses_are_compared_in_their_normal_form_without_query_and_fragment(name: str) -> None:
    htu, same = SAME[name]
    assert same_address(htu, "https://a.example/x") is same


def test_an_escaped_character_that_matters_stays_escaped() -> None:
    assert same_address("https://a.example/%e5%8C%ba%2f", "https://a.example/%E5%8c%BA%2F")
    assert not same_address("https://a.example/a%2Fb", "https://a.example/a/b")


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_-]{0,60}){2}", fullmatch=True))
def test_whatever_comes_as_a_proof_is_refused_with_our_own_error(text: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        check(text)
    assert caught.value.code == "token.proof-invalid"


@given(st.integers(0, len(RFC_TOKEN_PROOF) - 1), st.sampled_from("AZaz09-_.=+/ \n"))
def test_no_other_spelling_of_a_good_proof_is_taken(place: int, character: str) -> None:
    other = RFC_TOKEN_PROOF[:place] + character + RFC_TOKEN_PROOF[place + 1 :]
    if other == RFC_TOKEN_PROOF:
        return
    with pytest.raises(AuthenticationError):
        check(other, now=RFC_INSTANT, uri="https://server.example.com/token", replay=MemoryReplay(0))


def test_after_a_restart_a_proof_that_may_have_been_used_before_needs_a_nonce_of_this_process() -> None:
    before, after = (Nonces(b"a secret", epoch=epoch) for epoch in (NOW - 90_000, NOW))
    memory = MemoryReplay(NOW)

    def use(instant: int, nonce: str | None, now: int) -> str:
        proof = make_proof(key_of("ES256"), "POST", TOKEN_URI, instant, nonce=nonce)
        return verify_proof([("DPoP", proof)], method="POST", uri=TOKEN_URI, replay=memory, nonces=after, now=now)

    for instant in (NOW - 5000, NOW + 60_000):  # from a clock that is right, and from the most that clocks may be ahead
        for nonce in (None, before.current(NOW), "", "é", "x" * 300):
            with pytest.raises(NonceNeededError) as caught:
                use(instant, nonce, NOW)
            assert caught.value.nonce == after.current(NOW)
            assert 'error="use_dpop_nonce"' in caught.value.challenge
        assert use(instant, after.current(NOW), NOW)
    assert use(NOW + 61_000, None, NOW + 61_000), "one that no earlier process would have taken"
    assert memory.size == 3, "what was told to come with a nonce was not spent"


def test_a_nonce_is_good_in_its_window_and_the_next_and_at_nobody_else() -> None:
    nonces = Nonces(b"a secret")
    start = NOW // WINDOW * WINDOW
    nonce = nonces.current(start)
    assert [nonces.good(nonce, start + later) for later in (0, WINDOW - 1, WINDOW, 2 * WINDOW - 1, 2 * WINDOW)] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert not nonces.good(nonces.current(start + WINDOW), start), "one of the future"
    assert not Nonces(b"another secret").good(nonce, start)
    assert nonces.current(start + WINDOW) != nonce


def test_with_the_setting_every_proof_needs_a_nonce() -> None:
    always = Nonces(b"a secret", always=True)
    replay = MemoryReplay(NOW - 3_600_000)
    for nonce, taken in ((None, False), (always.current(NOW), True)):
        proof = make_proof(key_of("ES256"), "POST", TOKEN_URI, NOW, nonce=nonce)
        headers = [("DPoP", proof)]
        if taken:
            verify_proof(headers, method="POST", uri=TOKEN_URI, replay=replay, nonces=always, now=NOW)
        else:
            with pytest.raises(NonceNeededError):
                verify_proof(headers, method="POST", uri=TOKEN_URI, replay=replay, nonces=always, now=NOW)


def test_the_memory_forgets_only_what_can_no_longer_be_replayed() -> None:
    memory = MemoryReplay(NOW)
    instants = range(NOW, NOW + 5 * MEMORY_SPAN, 7_000)
    for instant in instants:
        assert memory.remember("key", str(instant), expires=instant + MEMORY_SPAN, now=instant)
        for earlier in instants:
            if earlier <= instant <= earlier + MEMORY_SPAN:
                assert not memory.remember("key", str(earlier), expires=instant, now=instant), (earlier, instant)
    assert memory.remember("key", str(NOW), expires=instants[-1], now=instants[-1]), "it does forget"


def test_the_memory_refuses_when_full_and_goes_on_when_there_is_room_again() -> None:
    memory = MemoryReplay(NOW, capacity=2)
    assert memory.remember("key", "a", expires=NOW, now=NOW)
    assert memory.remember("key", "b", expires=NOW, now=NOW)
    assert not memory.remember("key", "b", expires=NOW, now=NOW)
    with pytest.raises(LimitError) as caught:
        memory.remember("key", "c", expires=NOW, now=NOW)
    assert caught.value.code == "limit.replay-memory-full"
    later = NOW + 2 * MEMORY_SPAN + 1
    assert memory.remember("key", "c", expires=later, now=later)


def test_who_fills_its_share_of_a_memory_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'replay.db'}")
    tables.metadata.create_all(engine)
    memories: list[Replay] = [
        MemoryReplay(NOW, capacity=100, share=10),
        DatabaseReplay(engine.begin, tables.assertion_seen, capacity=100, share=10),
    ]
    for memory in memories:
        for number in range(10):
            assert memory.remember("greedy", str(number), expires=NOW, now=NOW)
        for number in range(10, 50):
            with pytest.raises(LimitError) as caught:
                memory.remember("greedy", str(number), expires=NOW, now=NOW)
            assert caught.value.code == "limit.replay-memory-full"
        assert memory.remember("other", "1", expires=NOW, now=NOW)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.assertion_seen)) == 11
    engine.dispose()


def test_a_database_memory_as_a_whole_does_not_grow_beyond_its_limit_and_asks_for_nonces_before(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'replay.db'}")
    tables.metadata.create_all(engine)
    workers = [DatabaseReplay(engine.begin, tables.proof_seen, capacity=64, share=64) for _ in range(2)]
    taken = crowded_at = 0
    for number in range(200):
        try:
            taken += workers[number % 2].remember(f"key {number}", "jti", expires=NOW, now=NOW)
        except LimitError:
            continue
        if not crowded_at and all(worker.needs_nonce(NOW) for worker in workers):
            crowded_at = taken
    with engine.connect() as connection:
        rows = connection.scalar(select(func.count()).select_from(tables.proof_seen))
    assert rows == taken
    assert 64 <= taken <= 64 + 64 // 8, "the other worker may still have had some room of its own"
    assert 48 <= crowded_at < 64
    later = NOW + 1
    assert workers[0].remember("a key", "jti", expires=later, now=later), "what has ended takes no room"
    engine.dispose()


def test_a_memory_that_could_not_hold_long_enough_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError):
        MemoryReplay(NOW).remember("key", "a", expires=NOW + MEMORY_SPAN + 1, now=NOW)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseReplay]:
    engine = create_engine(f"sqlite:///{tmp_path / 'replay.db'}")
    tables.metadata.create_all(engine)
    yield DatabaseReplay(engine.begin, tables.proof_seen)
    engine.dispose()


@pytest.mark.parametrize("where", ["memory", "database"])
def test_of_many_threads_with_one_proof_one_gets_through(where: str, database: DatabaseReplay) -> None:
    replay: Replay = database if where == "database" else MemoryReplay(NOW)
    barrier, verdicts = Barrier(8), []

    def use() -> None:
        barrier.wait()
        verdicts.append(replay.remember("key", "jti", expires=NOW, now=NOW))

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == [False] * 7 + [True]


def test_the_same_jti_of_another_key_is_another_proof(database: DatabaseReplay) -> None:
    for replay in (database, MemoryReplay(NOW)):
        assert replay.remember("one", "jti", expires=NOW, now=NOW)
        assert replay.remember("two", "jti", expires=NOW, now=NOW)


def test_the_database_is_cleared_of_what_can_no_longer_be_replayed(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'replay.db'}")
    tables.metadata.create_all(engine)
    for seen in (tables.proof_seen, tables.assertion_seen):
        replay = DatabaseReplay(engine.begin, seen)
        replay.remember("one", "old", expires=NOW - 1, now=NOW)
        replay.remember("one", "new", expires=NOW, now=NOW)
    with engine.begin() as connection:
        assert forget_expired(connection, NOW) == 2
        assert connection.scalar(select(func.count()).select_from(tables.proof_seen)) == 1
    assert not DatabaseReplay(engine.begin, tables.proof_seen).remember("one", "new", expires=NOW, now=NOW)
    engine.dispose()


def test_the_tables_can_be_written_down_for_both_databases() -> None:
    for dialect in (postgresql.dialect(), sqlite.dialect()):  # type: ignore[no-untyped-call]
        for table in (tables.client, tables.assertion_seen, tables.proof_seen):
            assert table.name in str(CreateTable(table).compile(dialect=dialect))
