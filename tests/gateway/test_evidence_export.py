"""Evidence written from a database, or downloaded: one consistent state, and no file outside its directory."""

from __future__ import annotations

import pytest

from audit.verify import verify_directory
from gateway.evidence_export import fetch_evidence, write_evidence
from partners.client import RemoteHead
from partners.errors import PartnerRefusedError
from tests.gateway.hands import carry, hand_in, publish
from tests.world import reading_line


def files(directory):
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def counted(report):
    return {row.number: row.count for row in report.rows}


def test_what_is_not_under_the_signed_head_yet_is_left_for_the_next_time(wujiang, tmp_path):
    hand_in(wujiang, reading_line(0))
    assert publish(wujiang)
    wujiang.gateway.sequencer.step()
    hand_in(wujiang, reading_line(1))
    (later,) = publish(wujiang)
    write_evidence(wujiang.gateway, tmp_path / "first")
    report = verify_directory(tmp_path / "first", vkey=wujiang.gateway.log_signer.vkey)
    assert report.exit_code == 0, report.as_text()
    name = f"batches/{later.manifest.provider}/{later.manifest.dataset}/{later.manifest.seq}.ndjson"
    assert name not in files(tmp_path / "first")

    wujiang.gateway.sequencer.step()
    write_evidence(wujiang.gateway, tmp_path / "second")
    assert (tmp_path / "second" / name).read_bytes() == later.file
    again = verify_directory(tmp_path / "second", vkey=wujiang.gateway.log_signer.vkey)
    assert again.exit_code == 0, again.as_text()
    assert counted(again)[6] == counted(report)[6] + 1


def test_a_receipt_whose_entry_is_only_promised_is_left_out_and_then_proves_the_promise_kept(
    wujiang, jiashan, tmp_path
):
    hand_in(wujiang, reading_line(0))
    jiashan.gateway.sequencer.step()
    for batch in publish(wujiang):
        carry(batch, wujiang, jiashan, dataset=batch.manifest.dataset)
    for name, receipts in (("first", 0), ("second", 2)):
        write_evidence(jiashan.gateway, tmp_path / name)
        report = verify_directory(tmp_path / name, vkey=jiashan.gateway.log_signer.vkey)
        assert report.exit_code == 0, report.as_text()
        assert counted(report)[10] == receipts
        jiashan.gateway.sequencer.step()


def test_a_log_that_was_never_signed_makes_evidence_that_proves_nothing(wujiang, tmp_path):
    write_evidence(wujiang.gateway, tmp_path)
    assert "log/checkpoint" not in files(tmp_path)
    assert verify_directory(tmp_path).exit_code == 2


class Liar:
    """A gateway that names feeds as it likes."""

    def __init__(self, document, dataset):
        self._document = document
        self._dataset = dataset

    def party_document(self):
        return self._document

    def feeds(self):
        return [RemoteHead("320509", self._dataset, 1, "")], None

    def feed_page(self, provider, dataset, *, after):
        raise AssertionError("nothing is asked for under such a name")


@pytest.mark.parametrize("dataset", ["../../escaped", "/etc/passwd", "..", "", "a/b", "A"])
def test_what_a_remote_gateway_says_never_chooses_where_a_file_is_written(wujiang, tmp_path, dataset):
    with pytest.raises(PartnerRefusedError) as caught:
        fetch_evidence(Liar(wujiang.document, dataset), tmp_path / "evidence", batches=True)
    assert caught.value.code == "partner.answer-malformed"
    assert files(tmp_path / "evidence") == set()
