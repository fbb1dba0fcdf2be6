"""What every subject's tests do: audit it, and check each witness by search."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from chorus.audit import Report, Subject, audit, recheck


@dataclass(frozen=True)
class Audited:
    """A report, all of whose witnesses hold."""

    report: Report

    def values(self, rule: str) -> dict[tuple[str, ...], float]:
        """Return the values of one rule's findings, by their elements, worst first."""
        return {finding.elements: finding.value for finding in self.report.findings if finding.rule == rule}


@pytest.fixture
def audited() -> Callable[[Subject], Audited]:
    """Audit a subject and re-check its witnesses."""

    def run(subject: Subject) -> Audited:
        report = audit(subject)
        for finding in report.findings:
            if finding.witness.claim != "measured":
                assert recheck(subject, finding.witness).holds, finding
        return Audited(report)

    return run


@pytest.fixture
def gpt2() -> Any:
    """A GPT-2 with random weights: 2 layers of 4 heads."""
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=16, n_positions=32, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
        )
    )


@pytest.fixture
def mixtral() -> Any:
    """A Mixtral with weights from seed 0: one layer of 4 experts, 2 for each token."""
    import torch

    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(
            vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=16,
        )
    )  # fmt: skip
