"""Calling a partner: whatever it answers becomes one of our errors, and nothing it says is taken on trust."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
import zstandard
from fastapi import FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from gateway.home import create_home
from gateway.server import make_server
from gateway.setting_groups import Address
from gateway.settings import load_settings
from partners.client import MAX_ANSWER, PartnerClient, RemoteHead, split_frames
from partners.errors import PartnerError, PartnerRefusedError, PartnerUnreachableError
from partners.reach import ANYWHERE
from schemas.batch import MAX_FILE
from tests.world import free_port, now_millis, wait_for

Answer = Callable[[Request], Response]


class Stranger:
    """A partner that answers whatever the test says, over TLS."""

    def __init__(self, folder: Path) -> None:
        self.answer: Answer = lambda request: Response()
        self.requests: list[Request] = []
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        create_home(folder / "home", "320509", self.url, now=now_millis())
        settings = load_settings(folder / "home")
        self.ca_pem = settings.tls.ca.read_text()
        app = FastAPI(openapi_url=None)

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
        def everything(request: Request) -> Response:
            self.requests.append(request)
            return self.answer(request)

        self._server = make_server(app, Address("127.0.0.1", port), settings)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._server.serve())

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    made = Stranger(tmp_path_factory.mktemp("stranger"))
    yield made
    made.stop()


@pytest.fixture
def client(stranger: Stranger) -> Iterator[PartnerClient]:
    with PartnerClient(stranger.url, stranger.ca_pem, reach=ANYWHERE) as made:
        yield made


def says(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: Response(content, status, headers=headers)


HEAD = {"provider": "320509", "dataset": "wj-antimony", "seq": 3, "manifest": "m" * 43}


def test_the_heads_of_a_partner_and_the_state_to_wait_on_are_read(stranger: Stranger, client: PartnerClient) -> None:
    stranger.answer = says({"feeds": [HEAD]}, ETag='"abc"')
    assert client.feeds() == ([RemoteHead("320509", "wj-antimony", 3, "m" * 43)], '"abc"')
    stranger.answer = says(b"", 304)
    assert client.feeds(wait=1, seen='"abc"') == ([], '"abc"')
    assert stranger.requests[-1].headers["if-none-match"] == '"abc"'
    assert stranger.requests[-1].query_params["wait"] == "1"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"[]", b"7", b"{}", b'{"feeds":{}}', b'{"feeds":"abc"}', b'{"feeds":[7]}', b'{"feeds":[{}]}',
        b"\xff", b"[" * 100_000,
        *({"feeds": [HEAD | change]} for change in (
            {"seq": "3"}, {"seq": True}, {"seq": -1}, {"seq": 1.5}, {"seq": None}, {"manifest": None}, {"provider": 7},
            {"dataset": "../../oauth/token"}, {"dataset": ""}, {"dataset": "a\0b"}, {"dataset": "a b"},
            {"dataset": "a" * 65}, {"dataset": "太湖"}, {"dataset": "?after=1"},
        )),
        b'{"feeds":[{"provider":"320509","dataset":"d","seq":1e999,"manifest":""}]}',
    ],
)  # fmt: skip
def test_what_is_no_list_of_feeds_is_refused(stranger: Stranger, client: PartnerClient, body: Any) -> None:
    stranger.answer = says(body)
    with pytest.raises(PartnerRefusedError) as caught:
        client.feeds()
    assert caught.value.code == "partner.answer-malformed"


@pytest.mark.parametrize("etag", ["\xe9", "a b", "x" * 300])
def test_a_state_that_could_not_be_sent_back_is_not_kept(stranger: Stranger, client: PartnerClient, etag: str) -> None:
    stranger.answer = says({"feeds": []}, ETag=etag)
    assert client.feeds() == ([], None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PartnerRefusedError), (401, PartnerRefusedError), (403, PartnerRefusedError), (404, PartnerRefusedError),
        (301, PartnerRefusedError), (204, PartnerRefusedError), (429, PartnerUnreachableError),
        (500, PartnerUnreachableError), (503, PartnerUnreachableError),
    ],
)  # fmt: skip
def test_a_considered_no_is_told_apart_from_what_may_pass(
    stranger: Stranger, client: PartnerClient, status: int, kind: type[PartnerError]
) -> None:
    body = b"" if status == 204 else json.dumps({"code": "feed.stopped", "detail": "why"}).encode()
    stranger.answer = says(body, status, Location="https://elsewhere.example/")
    with pytest.raises(PartnerError) as caught:
        client.feed_page("320509", "wj-antimony", after=0)
    assert type(caught.value) is kind
    assert caught.value.extra["status"] == status
    assert caught.value.extra["partner_code"] == ("" if status == 204 else "feed.stopped")


def test_an_answer_beyond_the_bound_is_not_read_to_its_end(stranger: Stranger, client: PartnerClient) -> None:
    stranger.answer = says(b"x" * (MAX_ANSWER + 1))
    with pytest.raises(PartnerRefusedError) as caught:
        client.feeds()
    assert caught.value.code == "partner.answer-too-large"


def test_nobody_there_is_unreachable(stranger: Stranger) -> None:
    with PartnerClient(f"https://127.0.0.1:{free_port()}", stranger.ca_pem, reach=ANYWHERE) as client:
        with pytest.raises(PartnerUnreachableError) as caught:
            client.party_document()
        assert caught.value.code == "partner.unreachable"


def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(stranger: Stranger, tmp_path: Path) -> None:
    create_home(tmp_path / "other", "330421", "https://127.0.0.1:1", now=now_millis())
    other = load_settings(tmp_path / "other").tls.ca.read_text()
    before = len(stranger.requests)
    with PartnerClient(stranger.url, other, reach=ANYWHERE) as client, pytest.raises(PartnerUnreachableError):
        client.party_document()
    assert len(stranger.requests) == before


def test_an_environment_that_names_a_proxy_changes_nothing(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    stranger.answer = says(b"document")
    with PartnerClient(stranger.url, stranger.ca_pem, reach=ANYWHERE) as client:
        assert client.party_document() == "document"


def frame(content: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(content)


def bomb(blocks: int) -> bytes:
    """A frame of so many times 128 KiB in four bytes each, that does not say how much it holds."""
    block = (131_072 << 3 | 1 << 1).to_bytes(3, "little") + b"A"
    return b"\x28\xb5\x2f\xfd\x00\x50" + block * (blocks - 1) + bytes([block[0] | 1]) + block[1:]


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    "contents",
    [[], [b""], [b"one"], [b"one", b"two" * 50_000, b"three"], [b"x" * 2_000_000] * 3, [bytes(range(256)) * 4_000]],
)
def test_concatenated_frames_come_apart_as_they_were(contents: list[bytes], checksum: bool) -> None:
    frames = [frame(content, write_checksum=checksum) for content in contents]
    assert list(split_frames(b"".join(frames))) == frames


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(0, 40))
def test_frames_that_are_cut_anywhere_never_raise_anything_else(contents: list[bytes], cut: int) -> None:
    data = b"".join(map(frame, contents))
    try:
        assert b"".join(split_frames(data[: len(data) - cut])) == data[: len(data) - cut]
    except PartnerRefusedError as error:
        assert error.code == "partner.answer-malformed"  # noqa: PT017 - a cut between two frames is none


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"x", "partner.answer-malformed"),
        (b"\x28\xb5\x2f\xfd", "partner.answer-malformed"),
        (frame(b"one")[:-1], "partner.answer-malformed"),
        (frame(b"one", write_checksum=True)[:-1], "partner.answer-malformed"),
        (frame(b"one") + b"x", "partner.answer-malformed"),
        (b"\x50\x2a\x4d\x18\x01\0\0\0x", "partner.answer-malformed"),  # a skippable frame
        (frame(bytes(MAX_FILE + 1)), "partner.answer-too-large"),
        (frame(b"one", write_content_size=False), "partner.answer-too-large"),
        (bomb(16_000), "partner.answer-too-large"),
    ],
)
def test_what_is_no_row_of_frames_or_would_unpack_to_more_than_a_batch_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(PartnerRefusedError) as caught:
        list(split_frames(data))
    assert caught.value.code == code
