"""Valley-free routing between autonomous systems (Gao, IEEE/ACM Transactions on Networking 9, 2001).

A path may climb from customers to providers, cross at most one peering link, and then only descend to customers:
nobody carries traffic between its providers or peers for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chorus.audit.components import strong_components
from chorus.audit.graph import Graph


@dataclass(frozen=True)
class Relations:
    """Who sells transit to whom, and who peers: pairs of numbers below n."""

    n: int
    transit: tuple[tuple[int, int], ...]  # provider, customer
    peering: tuple[tuple[int, int], ...]

    def valley_free(self, targets: Iterable[int], removed: frozenset[int] = frozenset()) -> list[int]:
        """Return, for each system, the reachable targets as a bitset: bit k stands for the k-th target.

        A provider cycle (which real data hold now and then) counts as one system that carries for all its members.

        Example:
            A customer of one provider reaches its sibling, and not the provider's peer's peer.

            >>> relations = Relations(5, ((0, 1), (0, 2)), ((0, 3), (3, 4)))
            >>> [bin(reach) for reach in relations.valley_free([2, 3, 4])][1]
            '0b11'

        """
        transit = [(p, c) for p, c in self.transit if p not in removed and c not in removed]
        # Components are numbered against the edges: a customer's component has a lower number than its provider's.
        component = strong_components(Graph.of(self.n, transit)).tolist()
        count = max(component, default=-1) + 1
        cone, across = [0] * count, [0] * count
        for bit, target in enumerate(targets):
            if target not in removed:
                cone[component[target]] |= 1 << bit
        between = sorted({(component[p], component[c]) for p, c in transit if component[p] != component[c]})
        for provider, customer in between:  # by provider, lowest first: the customers' cones are complete
            cone[provider] |= cone[customer]
        for k in range(count):
            across[k] = cone[k]
        for a, b in self.peering:
            if a not in removed and b not in removed:
                across[component[a]] |= cone[component[b]]
                across[component[b]] |= cone[component[a]]
        for customer, provider in sorted(((c, p) for p, c in between), key=lambda pair: -pair[1]):
            across[customer] |= across[provider]  # by provider, highest first: what providers reach is complete
        return [0 if k in removed else across[component[k]] for k in range(self.n)]

    def graph(self) -> Graph:
        """Return the links without their policy, both ways."""
        links = np.array([*self.transit, *self.peering], np.int64).reshape(-1, 2)
        return Graph.of(self.n, links, directed=False)
