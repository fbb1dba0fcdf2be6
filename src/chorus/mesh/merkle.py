"""The Merkle tree of a transcript: inclusion and consistency proofs as in RFC 9162, section 2.1.

A leaf hashes as SHA-256(0x00 ‖ data), a node as SHA-256(0x01 ‖ left ‖ right), so that no leaf can be passed off as
a node. Every complete subtree's hash is kept (64 bytes a leaf), which makes a proof a matter of log₂ n look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from chorus.errors import InputError
from chorus.mesh.identity import HASH

_EMPTY = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ data) (RFC 9162, section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right) (RFC 9162, section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """An append-only Merkle tree that proves what it holds.

    >>> tree = MerkleTree()
    >>> for word in (b"many", b"minds", b"one", b"log"):
    ...     tree.append(leaf_hash(word))
    >>> proof = tree.inclusion(1)
    >>> verify_inclusion(leaf_hash(b"minds"), 1, 4, proof, tree.root())
    True
    >>> verify_consistency(2, 4, tree.root(2), tree.root(), tree.consistency(2))
    True
    """

    def __init__(self) -> None:
        # The 32 bytes at 32·i of _levels[k] are the hash of leaves [i·2^k, (i+1)·2^k), kept once that range is full.
        self._levels = [bytearray()]

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH

    def append(self, leaf: bytes) -> None:
        """Append a leaf hash (32 bytes)."""
        levels = self._levels
        level = levels[0]
        level += leaf
        k = 0
        while not len(level) & HASH:  # a right sibling: its parent is complete now
            k += 1
            parent = sha256(b"\x01" + level[-2 * HASH :]).digest()
            if k == len(levels):
                levels.append(bytearray())
            level = levels[k]
            level += parent

    def leaf(self, index: int) -> bytes:
        """Return the hash of leaf `index`; raises `InputError` beyond the tree."""
        if not 0 <= index < len(self):
            raise InputError(f"the tree has {len(self)} leaves and none {index}")
        return self._node(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all by default); raises `InputError` beyond the tree."""
        size = len(self) if size is None else size
        if not 0 <= size <= len(self):
            raise InputError(f"the tree has {len(self)} leaves, not {size}")
        return self._range(0, size) if size else _EMPTY

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of leaf `index` in the tree of the first `size` leaves (RFC 9162, 2.1.3.1)."""
        size = len(self) if size is None else size
        if not 0 <= index < size <= len(self):
            raise InputError(f"no entry {index} in a tree of {size} of {len(self)} leaves")
        return self._path(index, 0, size)

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the first `old` leaves are a prefix of the first `size` (RFC 9162, 2.1.4.1)."""
        size = len(self) if size is None else size
        if not 0 < old <= size <= len(self):
            raise InputError(f"no proof from {old} to {size} leaves in a tree of {len(self)}")
        return self._subproof(old, 0, size, complete=True)

    def _range(self, start: int, stop: int) -> bytes:
        """Hash of leaves [start, stop), where start is a multiple of the power of two that covers the range."""
        count = stop - start
        k = count.bit_length() - 1
        if count == 1 << k:
            return self._node(k, start >> k)
        half = 1 << k
        return node_hash(self._node(k, start >> k), self._range(start + half, stop))

    def _node(self, k: int, i: int) -> bytes:
        return bytes(self._levels[k][i * HASH : (i + 1) * HASH])

    def _path(self, index: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        half = 1 << (stop - start - 1).bit_length() - 1
        if index < start + half:
            return [*self._path(index, start, start + half), self._range(start + half, stop)]
        return [*self._path(index, start + half, stop), self._range(start, start + half)]

    def _subproof(self, old: int, start: int, stop: int, complete: bool) -> list[bytes]:
        if start + old == stop:
            return [] if complete else [self._range(start, stop)]
        half = 1 << (stop - start - 1).bit_length() - 1
        if old <= half:
            return [*self._subproof(old, start, start + half, complete), self._range(start + half, stop)]
        return [*self._subproof(old - half, start + half, stop, False), self._range(start, start + half)]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path against a root (the algorithm of RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def verify_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Check that `old_root` is the root of a prefix of the tree under `root` (RFC 9162, section 2.1.4.2)."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = list(proof)
    if old & (old - 1) == 0:
        path = [old_root, *path]
    if not path:
        return False
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old_root and sr == root
