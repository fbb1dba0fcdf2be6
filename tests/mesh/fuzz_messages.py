"""Coverage-guided fuzzing of a node's ears: `python tests/mesh/fuzz_messages.py -runs=1000000` (needs atheris).

The first byte of an input chooses how deep the rest is put: as it is, as the signed body of a message, as a signed
message's content, or as an entry's content in a signed message, so that the fuzzer is not stopped by signatures.
"""

import random
import sys
from hashlib import sha256

import msgspec


def main() -> None:
    """Fuzz until the arguments say stop; atheris exits with 77 and the input when something is raised."""
    import atheris

    with atheris.instrument_imports(include=["chorus.mesh"]):
        from chorus.mesh.core import Node
        from chorus.mesh.fold import Fold
        from chorus.mesh.gossip import Announcement, Gate
        from chorus.mesh.identity import Genesis
        from chorus.mesh.limits import Recovered
        from chorus.mesh.simulation.world import CheapKey

    ana, ben = CheapKey(b"ana"), CheapKey(b"ben")
    genesis = Genesis.of([ana.public, ben.public], b"fuzz")

    def array(*parts: object) -> bytes:
        """Return the first five elements of a MessagePack array of six; the input is the last."""
        return b"\x96" + b"".join(msgspec.msgpack.encode(part) for part in parts)

    def one_input(data: bytes) -> None:
        node = Node(
            ana, Fold(genesis, CheapKey.verify), Recovered(boot=1), verify=CheapKey.verify, rng=random.Random(0)
        )
        depth, rest = (data[0] % 4, data[1:]) if data else (0, b"")
        message = rest
        if depth in (1, 2):
            body = rest if depth == 1 else array(genesis.hash, ben.public, 1, 0, 3) + rest
            message = ben.sign(b"chorus mesh message\0" + body) + body
        elif depth == 3:
            body = array(genesis.hash, ben.public, 0, 1, ()) + rest
            record = ben.sign(b"chorus mesh entry\0" + sha256(body).digest()) + body
            message = Gate(ben, genesis.hash, 1, CheapKey.verify).seal(Announcement(record), 3)
            node.fold.apply(record)
        node.received(0.0, message)
        node.tick(1.0)
        assert not node.halted

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
