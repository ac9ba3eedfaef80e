"""The Merkle tree of RFC 6962 and RFC 9162 (section 2.1) over SHA-256: hashes, roots, proofs.

Pure: no I/O, no clock, nothing of ours but the error type. A tree over entries d[0], …, d[n-1] is written MTH(D[0:n])
as in the RFCs. Proofs are computed from the roots of *complete* subtrees, which never change, so that they can be
read from tiles.

What this module must never do: accept a hash that is not 32 bytes, or guess at a proof that does not fit its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from audit.errors import ProofError

HASH_SIZE = 32  # bytes

ReadHash = Callable[[int, int], bytes]
"""`read(level, index)`: the root of the complete subtree number `index` among those of 2**level leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees: SHA-256(0x01 ‖ left ‖ right). The prefix keeps nodes from passing as leaves."""
    return sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """The root of a tree without entries: SHA-256 of nothing."""
    return sha256().digest()


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over 2**k neighbouring hashes of one level.

    Raises:
        ProofError: their number is not a power of two.
    """
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ProofError("a complete subtree has a power of two of hashes", code="proof.malformed")
    level = hashes
    while len(level) > 1:
        level = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


class CompactRange:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first, one for each bit of `size`.

    It is all that appending needs, at most 64 hashes however large the tree.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Resume at `size` leaves.

        Raises:
            ProofError: `hashes` do not fit a tree of `size` leaves.
        """
        if size < 0 or size.bit_count() != len(hashes):
            raise ProofError(f"{len(hashes)} hashes do not make the edge of {size} leaves", code="proof.malformed")
        for value in hashes:
            _require_hash(value)
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(self, value: bytes, level: int = 0) -> None:
        """Add the root of a complete subtree of 2**level leaves; at level 0 that is a leaf hash.

        Raises:
            ProofError: such a subtree cannot begin at this size.
        """
        position, misaligned = divmod(self._size, 1 << level)
        if misaligned:
            raise ProofError(f"no subtree of level {level} begins at leaf {self._size}", code="proof.malformed")
        while position & 1:
            value = node_hash(self._hashes.pop(), value)
            position >>= 1
        self._hashes.append(value)
        self._size += 1 << level

    def copy(self) -> CompactRange:
        return CompactRange(self._size, self._hashes)

    def root(self) -> bytes:
        """MTH over all leaves so far."""
        return _join(self._hashes) if self._hashes else empty_root()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """MTH over `leaf_hashes`, in order."""
    edge = CompactRange()
    for value in leaf_hashes:
        edge.append(value)
    return edge.root()


def inclusion_proof(index: int, size: int, read: ReadHash) -> list[bytes]:
    """PATH(index, D[0:size]) of RFC 9162, section 2.1.3.1: what leads from a leaf to the root, lowest first.

    Raises:
        ProofError: there is no leaf `index` in a tree of `size`.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}", code="proof.out-of-range")
    path = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_range_root(middle, stop, read))
            stop = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    return path[::-1]


def consistency_proof(size1: int, size2: int, read: ReadHash) -> list[bytes]:
    """PROOF(size1, D[0:size2]) of RFC 9162, section 2.1.4.1; empty for equal sizes.

    Raises:
        ProofError: not 0 < size1 <= size2. From the empty tree there is nothing to prove.
    """
    if not 0 < size1 <= size2:
        raise ProofError(f"no consistency proof leads from {size1} to {size2} leaves", code="proof.out-of-range")
    path = []
    start, stop = 0, size2
    while stop > size1:
        middle = start + _split(stop - start)
        if size1 <= middle:
            path.append(_range_root(middle, stop, read))
            stop = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    if start:  # otherwise D[0:size1] is itself a complete subtree: its root is the one the verifier holds
        path.append(_range_root(start, stop, read))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the entry with leaf hash `leaf` is number `index` (from 0) in the tree of `size` leaves under `root`.

    Steps as in RFC 9162, section 2.1.3.2.

    Raises:
        ProofError: it does not show that.
    """
    for value in (leaf, root, *proof):
        _require_hash(value)
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}", code="proof.out-of-range")
    position, last = index, size - 1
    result = leaf
    for value in proof:
        if last == 0:
            raise ProofError("the proof is longer than the tree is high")
        if position & 1 or position == last:
            result = node_hash(value, result)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, value)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof is shorter than the tree is high")
    if result != root:
        raise ProofError("the proof leads to another root")


def verify_consistency(size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `size2` leaves under `root2` begins with the one of `size1` leaves under `root1`.

    Steps as in RFC 9162, section 2.1.4.2.

    Raises:
        ProofError: it does not show that. Nor for `size1` 0: every tree begins with the empty one.
    """
    for value in (root1, root2, *proof):
        _require_hash(value)
    if not 0 < size1 <= size2:
        raise ProofError(f"no consistency proof leads from {size1} to {size2} leaves", code="proof.out-of-range")
    if size1 == size2:
        if proof or root1 != root2:
            raise ProofError("two trees of one size are consistent only if they are the same tree")
        return
    if not proof:
        raise ProofError("the proof is empty")
    # A first tree of 2**k leaves is itself a node of the second, so the proof leaves its root out.
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    position, last = size1 - 1, size2 - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for value in path[1:]:
        if last == 0:
            raise ProofError("the proof is longer than the tree is high")
        if position & 1 or position == last:
            first, second = node_hash(value, first), node_hash(value, second)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, value)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof is shorter than the tree is high")
    if first != root1 or second != root2:
        raise ProofError("the proof leads to another root")


def _split(size: int) -> int:
    """The largest power of two below `size` (k in the RFCs); `size` is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(start: int, stop: int, read: ReadHash) -> bytes:
    """MTH(D[start:stop]) for a range that the RFCs' recursion reaches: `start` is a multiple of its largest subtree."""
    hashes = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        hashes.append(read(level, start >> level))
        start += 1 << level
    return _join(hashes)


def _join(hashes: Sequence[bytes]) -> bytes:
    """One root over neighbouring complete subtrees, largest first."""
    result = hashes[-1]
    for value in reversed(hashes[:-1]):
        result = node_hash(value, result)
    return result


def _require_hash(value: bytes) -> None:
    if len(value) != HASH_SIZE:
        raise ProofError(f"a hash has 32 bytes, not {len(value)}", code="proof.malformed")
