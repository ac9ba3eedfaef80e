"""The Merkle tree against third-party vectors, an independent library and the RFC's own definition."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle
from audit.errors import ProofError
from audit.merkle import CompactRange
from tests.audit.vectors import files, load, needs_vectors

BOUNDARIES = (255, 256, 257, 65_535, 65_536, 65_537)

# Trap 1 of the vectors' own list: it expects success for "roots" of 12 bytes. We insist on 32.
REFUSED_FOR_LENGTH = "sizes-are-equal-one-and-proof-is-empty"


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


def tree_head(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 9162, section 2.1.1 defines it, by recursion."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256().digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_head(leaves[:split]) + tree_head(leaves[split:])).digest()


def reader(leaves: Sequence[bytes]) -> merkle.ReadHash:
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        last = levels[-1]
        levels.append([merkle.node_hash(last[at], last[at + 1]) for at in range(0, len(last) - 1, 2)])
    return lambda level, index: levels[level][index]


@needs_vectors
def test_hashes_and_roots_are_those_of_the_rfc_6962_vectors() -> None:
    vectors = load("merkle", "rfc6962-8-leaves.json")
    leaves = [merkle.leaf_hash(bytes.fromhex(text)) for text in vectors["leaf_inputs_hex"]]
    roots = [merkle.root_of(leaves[:size]).hex() for size in range(9)]
    assert roots == vectors["root_hashes_hex_by_size"]
    assert merkle.empty_root().hex() == vectors["hasher"]["empty_root"]
    assert merkle.leaf_hash(b"").hex() == vectors["hasher"]["leaf_empty"]
    assert merkle.leaf_hash(b"L123456").hex() == vectors["hasher"]["leaf_L123456"]
    assert merkle.node_hash(b"N123", b"N456").hex() == vectors["hasher"]["node_N123_N456"]


@needs_vectors
def test_there_are_98_vectors_of_each_kind_of_proof() -> None:
    assert (len(files("merkle/inclusion")), len(files("merkle/consistency"))) == (98, 98)


@needs_vectors
@pytest.mark.parametrize("path", files("merkle/inclusion"), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_inclusion_vector_verifies_exactly_if_it_should(path: Path) -> None:
    case = json.loads(path.read_bytes())
    leaf, root, *proof = map(base64.b64decode, [case["leafHash"], case["root"], *(case["proof"] or [])])
    try:
        merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
    except ProofError:
        assert case["wantErr"]
    else:
        assert not case["wantErr"]


@needs_vectors
@pytest.mark.parametrize("path", files("merkle/consistency"), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_consistency_vector_verifies_exactly_if_it_should(path: Path) -> None:
    case = json.loads(path.read_bytes())
    root1, root2, *proof = map(base64.b64decode, [case["root1"], case["root2"], *(case["proof"] or [])])
    try:
        merkle.verify_consistency(case["size1"], root1, case["size2"], root2, proof)
    except ProofError:
        assert case["wantErr"] or path.stem == REFUSED_FOR_LENGTH
    else:
        assert not case["wantErr"]


@needs_vectors
def test_the_consistency_proof_of_a_real_witness_test_verifies() -> None:
    case = load("transparency-dev-witness", "monkeys.json")
    roots = [base64.b64decode(case[f"checkpoint_size{size}"].split("\n")[2]) for size in (5, 8)]
    proof = [bytes.fromhex(text) for text in case["consistency_proof_5_to_8_hex"]]
    merkle.verify_consistency(5, roots[0], 8, roots[1], proof)
    with pytest.raises(ProofError):
        merkle.verify_consistency(5, roots[1], 8, roots[0], proof)


def test_the_root_is_the_one_the_rfc_defines_and_an_independent_library_computes() -> None:
    leaves = leaves_of(BOUNDARIES[-1])
    other = pymerkle.InmemoryTree()
    other.append_entries([index.to_bytes(4, "big") for index in range(BOUNDARIES[-1])])
    for size in (0, 1, 2, 3, 7, 8, 100, *BOUNDARIES):
        assert merkle.root_of(leaves[:size]) == tree_head(leaves[:size]) == other.get_root(size), size


def test_proofs_of_random_trees_are_those_of_an_independent_library_and_verify() -> None:
    chosen = random.Random(20261123)
    other = pymerkle.InmemoryTree()
    other.append_entries([index.to_bytes(4, "big") for index in range(600)])
    leaves = leaves_of(600)
    read = reader(leaves)
    for _ in range(300):
        size = chosen.randint(1, 600)
        index, earlier = chosen.randrange(size), chosen.randint(1, size)
        proof = merkle.inclusion_proof(index, size, read)
        theirs = other.prove_inclusion(index + 1, size)  # counts from one, and begins with the leaf itself
        assert proof == theirs.path[1:]
        merkle.verify_inclusion(leaves[index], index, size, proof, other.get_root(size))
        merkle.verify_consistency(
            earlier, other.get_root(earlier), size, other.get_root(size),
            merkle.consistency_proof(earlier, size, read),
        )  # fmt: skip


@pytest.mark.parametrize("size", BOUNDARIES)
def test_proofs_hold_where_tiles_fill_up(size: int) -> None:
    leaves = leaves_of(size)
    read, root = reader(leaves), merkle.root_of(leaves)
    for index in {0, 1, 254, size // 2, size - 2, size - 1}:
        merkle.verify_inclusion(leaves[index], index, size, merkle.inclusion_proof(index, size, read), root)
    for earlier in {1, 2, 128, size // 2, size - 1, size}:
        proof = merkle.consistency_proof(earlier, size, read)
        merkle.verify_consistency(earlier, merkle.root_of(leaves[:earlier]), size, root, proof)


@pytest.mark.parametrize("size", [1, 2, 5, 16, 33])
def test_no_proof_verifies_for_another_leaf_index_size_or_root(size: int) -> None:
    leaves = leaves_of(size)
    root = merkle.root_of(leaves)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, reader(leaves))
        wrong = [
            (merkle.leaf_hash(b"other"), index, size, proof, root),
            (leaves[index], index, size, proof, merkle.empty_root()),
            (leaves[index], index, size, [*proof, root], root),
            (leaves[index], index, size, [root, *proof], root),
            *((leaves[index], other, size, proof, root) for other in range(size) if other != index),
            *((leaves[index], index, size, proof[:at] + proof[at + 1 :], root) for at in range(len(proof))),
            *((leaves[index], index, size, [*proof[:at], root, *proof[at + 1 :]], root) for at in range(len(proof))),
        ]
        for claim in wrong:
            with pytest.raises(ProofError):
                merkle.verify_inclusion(*claim)


def test_a_consistency_proof_must_lead_to_both_roots() -> None:
    leaves = leaves_of(7)
    roots = [merkle.root_of(leaves[:size]) for size in (6, 7)]
    proof = merkle.consistency_proof(6, 7, reader(leaves))
    merkle.verify_consistency(6, roots[0], 7, roots[1], proof)
    for wrong in ([leaves[0], roots[1]], [roots[0], leaves[0]]):
        with pytest.raises(ProofError):
            merkle.verify_consistency(6, wrong[0], 7, wrong[1], proof)


def test_a_proof_higher_than_the_tree_is_refused_although_its_hashes_add_up() -> None:
    first, second = leaves_of(2)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(first, 0, 1, [second], merkle.node_hash(second, first))


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (1, 1), (-1, 4), (4, 4)], ids=["empty tree", "behind", "negative", "at the end"]
)
def test_an_index_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ProofError) as caught:
        merkle.inclusion_proof(index, size, reader(leaves_of(4)))
    assert caught.value.code == "proof.out-of-range"
    with pytest.raises(ProofError) as caught:
        merkle.verify_inclusion(b"0" * 32, index, size, [], b"0" * 32)
    assert caught.value.code == "proof.out-of-range"


@pytest.mark.parametrize(("size1", "size2"), [(0, 3), (4, 3), (-1, 3)], ids=["from nothing", "backwards", "negative"])
def test_sizes_that_do_not_follow_have_no_consistency_proof(size1: int, size2: int) -> None:
    with pytest.raises(ProofError) as caught:
        merkle.consistency_proof(size1, size2, reader(leaves_of(4)))
    assert caught.value.code == "proof.out-of-range"
    with pytest.raises(ProofError) as caught:
        merkle.verify_consistency(size1, b"0" * 32, size2, b"0" * 32, [])
    assert caught.value.code == "proof.out-of-range"


@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_a_hash_that_is_not_32_bytes_is_refused_before_anything_is_computed(length: int) -> None:
    bad = b"0" * length
    for leaf, proof, root in ((bad, [], bad), (b"0" * 32, [bad], b"0" * 32)):
        with pytest.raises(ProofError) as caught:
            merkle.verify_inclusion(leaf, 0, 1 + len(proof), proof, root)
        assert caught.value.code == "proof.malformed"
    with pytest.raises(ProofError) as caught:
        merkle.verify_consistency(1, bad, 1, bad, [])
    assert caught.value.code == "proof.malformed"


@given(
    st.integers(-2, 300),
    st.integers(-2, 300),
    st.lists(st.binary(min_size=31, max_size=32), max_size=10),
    st.booleans(),
)
def test_hostile_proofs_end_in_our_error(first: int, second: int, proof: list[bytes], same: bool) -> None:
    root = leaves_of(1)[0]
    for attempt in (
        lambda: merkle.verify_inclusion(b"0" * 32, first, second, proof, root),
        lambda: merkle.verify_consistency(first, root if same else b"0" * 32, second, root, proof),
    ):
        try:
            attempt()
        except ProofError:
            continue
        assert same, "nobody finds a proof by chance"
        assert first == second


def test_a_compact_range_resumes_from_its_size_and_hashes_at_every_size() -> None:
    edge = CompactRange()
    for size, leaf in enumerate(leaves_of(70)):
        assert edge.root() == merkle.root_of(leaves_of(size))
        assert (edge.size, len(edge.hashes)) == (size, size.bit_count())
        edge = CompactRange(edge.size, edge.hashes)
        edge.append(leaf)


def test_whole_subtrees_may_be_appended_where_they_begin() -> None:
    leaves = leaves_of(11)
    edge = CompactRange()
    edge.append(merkle.subtree_root(leaves[:8]), level=3)
    edge.append(merkle.subtree_root(leaves[8:10]), level=1)
    edge.append(leaves[10])
    assert edge.root() == merkle.root_of(leaves)
    with pytest.raises(ProofError) as caught:
        edge.append(leaves[0], level=1)
    assert caught.value.code == "proof.malformed"


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(3, 1), (4, 2), (0, 1), (-1, 64)],
    ids=["too few", "too many", "for an empty tree", "negative size"],
)
def test_a_compact_range_refuses_hashes_that_do_not_fit_its_size(size: int, hashes: int) -> None:
    with pytest.raises(ProofError) as caught:
        CompactRange(size, [b"0" * 32] * hashes)
    assert caught.value.code == "proof.malformed"


@pytest.mark.parametrize("count", [0, 3, 255])
def test_only_a_power_of_two_of_hashes_makes_a_complete_subtree(count: int) -> None:
    with pytest.raises(ProofError):
        merkle.subtree_root(leaves_of(count))
