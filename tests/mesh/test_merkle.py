"""The tree against the definition of RFC 9162, written out recursively, and against every kind of tampering."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import InputError
from chorus.mesh.merkle import MerkleTree, leaf_hash, node_hash, verify_consistency, verify_inclusion


def definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(definition(leaves[:k]), definition(leaves[k:]))


def tree_of(count: int) -> tuple[MerkleTree, list[bytes]]:
    leaves = [leaf_hash(b"%d" % i) for i in range(count)]
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf)
    return tree, leaves


# The published vectors of the certificate-transparency test suite: leaves and the roots of their prefixes.
VECTOR = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
]


def test_roots_are_those_of_the_published_vectors() -> None:
    tree = MerkleTree()
    for data, root in zip(VECTOR, ROOTS, strict=True):
        tree.append(leaf_hash(data))
        assert tree.root().hex() == root


@pytest.mark.parametrize("count", range(0, 34))
def test_every_prefix_has_the_root_of_the_definition(count: int) -> None:
    tree, leaves = tree_of(count)
    for size in range(count + 1):
        assert tree.root(size) == definition(leaves[:size])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13, 33])
def test_every_inclusion_proof_holds_for_its_leaf_only(count: int) -> None:
    tree, leaves = tree_of(count)
    for size in range(1, count + 1):
        for index in range(size):
            path = tree.inclusion(index, size)
            assert verify_inclusion(leaves[index], index, size, path, tree.root(size))
            assert not verify_inclusion(leaf_hash(b"other"), index, size, path, tree.root(size))
            assert not verify_inclusion(leaves[index], (index + 1) % size, size, path, tree.root(size)) or size == 1
            assert not verify_inclusion(leaves[index], index, size, [*path, bytes(32)], tree.root(size))
            if path:
                assert not verify_inclusion(leaves[index], index, size, path[:-1], tree.root(size))


@pytest.mark.parametrize("count", [1, 2, 6, 8, 13, 33])
def test_every_consistency_proof_holds_for_its_prefix_only(count: int) -> None:
    tree, _ = tree_of(count)
    for size in range(1, count + 1):
        for old in range(1, size + 1):
            proof = tree.consistency(old, size)
            assert verify_consistency(old, size, tree.root(old), tree.root(size), proof)
            assert not verify_consistency(old, size, bytes(32), tree.root(size), proof)
            assert not verify_consistency(old, size, tree.root(old), bytes(32), proof)
            assert not verify_consistency(old, size, tree.root(old), tree.root(size), [*proof, bytes(32)])


@given(st.integers(2, 200), st.data())
def test_a_flipped_bit_anywhere_in_a_path_is_noticed(count: int, data: st.DataObject) -> None:
    tree, leaves = tree_of(count)
    index = data.draw(st.integers(0, count - 1))
    path = tree.inclusion(index)
    step, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    flipped = bytearray(path[step])
    flipped[bit // 8] ^= 1 << bit % 8
    path[step] = bytes(flipped)
    assert not verify_inclusion(leaves[index], index, count, path, tree.root())


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_what_is_not_there_is_refused() -> None:
    tree, _ = tree_of(3)
    for ask in (
        lambda: tree.root(4),
        lambda: tree.inclusion(3),
        lambda: tree.consistency(0),
        lambda: tree.inclusion(-1),
    ):
        with pytest.raises(InputError):
            ask()
