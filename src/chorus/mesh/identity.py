"""Who speaks: Ed25519 keys, and the genesis that says which keys founded a mesh."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from chorus.errors import ChorusError, InputError

PROTOCOL = 1
SIGNATURE = 64  # bytes of an Ed25519 signature (RFC 8032)
HASH = 32  # bytes of a SHA-256 digest, and of an Ed25519 public key
_SHORT = 2048  # bytes up to which signed data is remembered with its verdict: 16 MB at the very most

Verify = Callable[[bytes, bytes, bytes], bool]


class Signer(Protocol):
    """What the core needs of a key; the simulation brings a cheaper one."""

    @property
    def public(self) -> bytes:
        """The 32 bytes by which others know the speaker."""

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of `data`."""


class Key:
    """A node's Ed25519 private key (RFC 8032).

    >>> key = Key.from_seed(bytes(32))
    >>> verify(key.public, b"hello", key.sign(b"hello")), verify(key.public, b"hullo", key.sign(b"hello"))
    (True, False)
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Key:
        """Return a fresh key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Key:
        """Return the key of a 32-byte seed (tests, and keys kept in a vault)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a key file (PEM, PKCS #8).

        Raises `InputError` when the file is missing, is no Ed25519 key, or can be read by others than its owner.
        """
        try:
            mode = path.stat().st_mode
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path}: cannot read the key ({error.strerror}); make one with `chorus mesh keygen {path}`"
            ) from error
        if os.name == "posix" and mode & 0o077:
            raise InputError(f"{path}: the key can be read by others (mode {mode & 0o777:o}); run `chmod 600 {path}`")
        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path}: not a PEM private key without a password") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise InputError(f"{path}: a {type(private).__name__}, where an Ed25519 key is needed")
        return cls(private)

    def save(self, path: Path) -> None:
        """Write the key for its owner's eyes only (mode 600); an existing file is never overwritten."""
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
        except FileExistsError as error:
            raise InputError(f"{path}: exists already, and a key is never overwritten") from error
        except OSError as error:
            raise ChorusError(f"{path}: cannot write the key ({error.strerror})") from error

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of `data`."""
        return self._private.sign(data)


@lru_cache(maxsize=4096)
def _public_key(public: bytes) -> Ed25519PublicKey | None:
    try:
        return Ed25519PublicKey.from_public_bytes(public)
    except (ValueError, UnsupportedAlgorithm):
        return None


@lru_cache(maxsize=4096)
def _fits(public: bytes, data: bytes, signature: bytes) -> bool:
    key = _public_key(public)
    if key is None:
        return False
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Say whether `signature` is that of `data` under the key `public`; anything malformed is simply False.

    What was checked lately in this process is not checked again: an entry is met in gossip and in the log, and several
    nodes of one process hear the same messages.
    """
    return _fits(public, data, signature) if len(data) <= _SHORT else _fits.__wrapped__(public, data, signature)


@dataclass(frozen=True)
class Genesis:
    """The founding of a mesh: its members' public keys and a nonce.

    Its hash names the mesh. Every node pins that hash in its own configuration; it is never read from the log it
    protects, so a log that was swapped for another is recognised, however well that one is signed.

    >>> genesis = Genesis.of([Key.from_seed(bytes(32)).public], nonce=b"n" * 16)
    >>> genesis.hash.hex()[:12], genesis.quorum
    ('298804257b96', 1)
    """

    members: tuple[bytes, ...]
    nonce: bytes

    @classmethod
    def of(cls, members: Iterable[bytes], nonce: bytes | None = None) -> Genesis:
        """Found a mesh of these public keys (32 bytes each); raises `InputError` for repeated or malformed keys."""
        given = list(members)
        keys = tuple(sorted(set(given)))
        if len(keys) != len(given) or not keys:
            raise InputError(f"a mesh needs at least one member and no key twice; {len(given)} given")
        if any(len(key) != HASH for key in keys):
            raise InputError(f"a member's public key has {HASH} bytes")
        return cls(keys, os.urandom(16) if nonce is None else nonce)

    @property
    def hash(self) -> bytes:
        """SHA-256 over domain, protocol version, nonce and the sorted keys, each of known length."""
        head = b"chorus mesh genesis\0" + PROTOCOL.to_bytes(4, "big") + len(self.nonce).to_bytes(4, "big")
        return sha256(head + self.nonce + len(self.members).to_bytes(4, "big") + b"".join(self.members)).digest()

    @property
    def quorum(self) -> int:
        """The smallest majority of the founders."""
        return len(self.members) // 2 + 1
