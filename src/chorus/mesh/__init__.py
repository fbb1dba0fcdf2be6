"""Many minds: clocks, journal, ordered log, bus, votes, Merkle proofs, artifacts, members."""
