"""Passwords and codes by themselves: what is refused, how much is computed at once, what lies in the database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pyotp
import pytest
from argon2 import PasswordHasher, extract_parameters

from gateway.errors import PersonError, SignInError
from gateway.people.passwords import AT_ONCE, LONGEST, WAITING, Passwords, check_new
from gateway.people.second_factor import Seal, SecondFactor, matching_step, new_secret

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
KNOWN = ("wei", "王卫东", "staff0042", "320509", "吴江区", "Wujiang District")
NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("elevenchars", "password.too-short"),
        ("x" * (LONGEST + 1), "password.too-long"),
        ("123456789012", "password.guessable"),
        ("987654321098", "password.guessable"),
        ("abcdefghijklmnop", "password.guessable"),
        ("aaaaaaaaaaaaaaaa", "password.guessable"),
        ("abababababababab", "password.guessable"),
        ("1QAZ2wsx3edc", "password.guessable"),
        ("MyPassword4711", "password.guessable"),
        ("Ｐａｓｓｗｏｒｄ４７１１", "password.guessable"),
        ("river 320509 flows", "password.guessable"),
        ("my name is 王卫东 indeed", "password.guessable"),
        ("old-STAFF0042-hat", "password.guessable"),
        ("wujiang tea house", "password.guessable"),
        ("the taipu is wide", "password.guessable"),
    ],
)
def test_a_password_that_is_short_or_that_anybody_would_try_is_refused(password: str, code: str) -> None:
    with pytest.raises(PersonError) as caught:
        check_new(password, KNOWN)
    assert caught.value.code == code
    assert password not in caught.value.detail


@pytest.mark.parametrize(
    "password", ["梅花三弄 lantern 7391", "correct horse battery", "x9!kQ2#mZ7pL", "weird but long words"]
)
def test_any_other_is_taken_whatever_its_characters(password: str) -> None:
    check_new(password, KNOWN)


def test_what_is_kept_is_argon2id_by_rfc_9106_and_verifies_in_another_spelling() -> None:
    own = Passwords()
    kept = own.hash("Ａ ｐｌａｉｎ sentence 7")
    parameters = extract_parameters(kept)
    assert kept.startswith("$argon2id$v=19$")
    assert (parameters.memory_cost, parameters.time_cost) == (65_536, 3)
    assert own.verify(kept, "A plain sentence 7")
    assert not own.verify(kept, "A plain sentence 8")


@pytest.mark.parametrize("kept", ["", "no hash at all", "$argon2id$v=19$m=64,t=1,p=1$xx$yy"])
def test_where_there_is_no_password_none_is_right(kept: str) -> None:
    assert not Passwords(CHEAP).verify(kept, "")


def test_user_enumeration_costs_the_same_hash_for_a_name_that_nobody_has() -> None:
    done: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            done.append(str(hash))
            return super().verify(hash, password)

    hasher = Counting(time_cost=2, memory_cost=128, parallelism=1)
    own = Passwords(hasher)
    own.verify(own.hash("one of somebody"), "a wrong one")
    own.verify("", "a wrong one")
    assert len(done) == 2
    assert extract_parameters(done[0]) == extract_parameters(done[1])


def test_argon2_memory_exhaustion_of_a_hundred_at_once_a_few_are_hashed_and_the_rest_turned_away() -> None:
    """A hash waits for its neighbour, and nobody hashes before all others were turned away."""
    together, full, lock = threading.Barrier(AT_ONCE), threading.Event(), threading.Lock()
    hashing: list[int] = []
    most = 0
    turned_away = threading.Semaphore(0)

    class Slow(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            nonlocal most
            with lock:
                hashing.append(1)
                most = max(most, len(hashing))
            together.wait(20)
            with lock:
                hashing.pop()
            return True

    own = Passwords(Slow(time_cost=1, memory_cost=64, parallelism=1))

    def one(_: int) -> str:
        try:
            with own.place():
                assert full.wait(20)
                own.verify("x", "y")
                return "heard"
        except SignInError as error:
            turned_away.release()
            return error.code

    with ThreadPoolExecutor(100) as threads:
        tries = [threads.submit(one, number) for number in range(100)]
        for _ in range(100 - AT_ONCE - WAITING):
            assert turned_away.acquire(timeout=20)
        full.set()
        answers = [answer.result(20) for answer in tries]
    assert answers.count("heard") == AT_ONCE + WAITING
    assert answers.count("sign-in.wait") == 100 - AT_ONCE - WAITING
    assert most == AT_ONCE
    with ExitStack() as places:  # which are all free again
        for _ in range(AT_ONCE + WAITING):
            places.enter_context(own.place())


@pytest.fixture
def secret() -> str:
    return new_secret()


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_good_in_its_half_minute_and_the_ones_beside_it(secret: str, steps: int, good: bool) -> None:
    code = pyotp.TOTP(secret).at(NOW // 1000 + 30 * steps)
    assert matching_step(secret, code, now=NOW) == (NOW // 30_000 + steps if good else None)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", " 12345", "123456\n", "-12345"])
def test_what_is_no_code_is_none(secret: str, code: str) -> None:
    assert matching_step(secret, code, now=NOW) is None


def test_a_sealed_secret_opens_for_its_owner_at_its_gateway_alone(secret: str) -> None:
    sealed = Seal(b"k" * 32).close("wei", secret)
    assert secret.encode() not in sealed
    assert Seal(b"k" * 32).open("wei", sealed) == secret
    for seal, whose, what in ((Seal(b"k" * 32), "li", sealed), (Seal(b"l" * 32), "wei", sealed),
                              (Seal(b"k" * 32), "wei", b""), (Seal(b"k" * 32), "wei", sealed[:-1])):  # fmt: skip
        with pytest.raises(SignInError) as caught:
            seal.open(whose, what)
        assert caught.value.code == "sign-in.sealed"


def test_an_authenticator_reads_the_party_and_the_account(secret: str) -> None:
    factor = SecondFactor.of(secret, party="320509", account="wei")
    read = pyotp.parse_uri(factor.uri)
    assert (read.secret, read.name, read.issuer) == (secret, "wei", "Taipu 320509")
    assert factor.svg().startswith("<svg")
    assert len(factor.for_terminal().splitlines()) > 10
