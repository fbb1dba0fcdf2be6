"""The built-in subjects: published figures of their models, brute force where there is one, and their files."""

from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from chorus.audit import Graph, Report, Subject, audit, build, recheck
from chorus.audit.cuts import communities
from chorus.audit.subjects.auction import best_surplus, efficiency, equilibrium, gini, smith_alpha, trade
from chorus.audit.subjects.debtrank import debtrank, distress
from chorus.audit.subjects.routing import Relations
from chorus.audit.subjects.worlds import clustering, modularity, participation, rich_club, small_worldness
from chorus.errors import InputError


def findings(report: Report, rule: str) -> dict[tuple[str, ...], float]:
    return {finding.elements: finding.value for finding in report.findings if finding.rule == rule}


def witnesses_hold(subject: Subject, report: Report) -> None:
    for finding in report.findings:
        if finding.witness.claim != "measured":
            assert recheck(subject, finding.witness).holds, finding


# --- market


def test_zero_intelligence_with_a_budget_constraint_is_efficient() -> None:
    # Gode and Sunder 1993: at least 95 % with the constraint, and more than without it.
    values, costs = np.linspace(140, 60, 16), np.linspace(40, 110, 16)
    for seed in range(5):
        constrained = efficiency(values, costs, seed=seed, periods=20)
        free = efficiency(values, costs, seed=seed, periods=20, constrained=False)
        assert constrained >= 0.95
        assert constrained > free + 0.1


def test_no_trader_with_a_constraint_trades_at_a_loss() -> None:
    values, costs = np.array([90.0, 70.0, 30.0]), np.array([20.0, 50.0, 80.0])
    generator = np.random.default_rng(0)
    for _ in range(50):
        session = trade(values, costs, generator)
        for buyer, seller, price in session.trades:
            assert costs[seller] <= price <= values[buyer]
        assert len({buyer for buyer, _, _ in session.trades}) == len(session.trades)
    assert best_surplus(values, costs) == 70 + 20
    assert equilibrium(values, costs) == 60  # between the marginal pair's 50 and 70
    assert smith_alpha(np.array([50.0, 70.0]), 60) == pytest.approx(1 / 6)
    assert gini(np.ones(5)) == pytest.approx(0)


def test_debtrank_by_hand() -> None:
    # 0 owes 1 four of its equity of ten, 1 owes 2 five of its ten; 2 owes 0 everything.
    lent = np.array([[0, 0, 20.0], [4, 0, 0], [0, 5, 0]])
    equity = np.full(3, 10.0)
    assert distress(lent, equity, [0]).tolist() == [1, pytest.approx(0.4), pytest.approx(0.2)]
    value = np.array([20, 4, 5]) / 29
    assert debtrank(lent, equity, [0]) == pytest.approx(0.4 * value[1] + 0.2 * value[2])
    # Around the cycle once: 2's distress reaches 0, and what 0 then has is passed to 1 once.
    assert distress(lent, equity, [2]).tolist() == [1, pytest.approx(0.4), 1]
    assert debtrank(np.zeros((2, 2)), equity[:2], [0]) == 0


def test_the_market_hangs_on_its_book() -> None:
    subject = build("market")
    report = audit(subject)
    witnesses_hold(subject, report)
    assert findings(report, "AUD010")[("order book",)] == 1
    assert next(iter(findings(report, "AUD001"))) == ("order book",)
    assert report.conditions[6].score == 0
    assert report.figures["allocative efficiency, budget constraint"] >= 0.95


def test_exposure_file(tmp_path: Path) -> None:
    path = tmp_path / "banks.csv"
    path.write_text("lender,borrower,amount\nB,A,4\nC,B,5\nA,C,20\nA,,10\nB,,10\nC,,10\n")
    subject = build("market", str(path))
    assert subject.function is not None
    value = np.array([4, 5, 20]) / 29  # B, C, A in the order of the file
    assert subject.elements == ("B", "A", "C")
    assert subject.function.score(frozenset({"A"})) == pytest.approx(1 - 20 / 29 - 0.4 * value[0] - 0.2 * value[1])
    report = audit(subject)
    witnesses_hold(subject, report)
    assert report.findings[0].line is not None or report.findings[0].rule == "AUD010"
    for bad, what in [
        ("A,B\n", "2 columns"), ("A,B,x\n", "not a number"), ("A,B,-1\n", "at least 0"), ("A,B,1\n", "no equity"),
        ("A,A,1\n", "another bank"),
    ]:  # fmt: skip
        path.write_text(bad)
        with pytest.raises(InputError, match=what):
            build("market", str(path))


# --- internet


def valley_free_by_search(relations: Relations, start: int) -> set[int]:
    """All ends of paths that climb, cross at most once, and descend: a search over (system, phase)."""
    steps: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for provider, customer in relations.transit:
        steps.setdefault((customer, 0), set()).add((provider, 0))
        for phase in (0, 1):
            steps.setdefault((provider, phase), set()).add((customer, 1))
    for a, b in relations.peering:
        for x, y in ((a, b), (b, a)):
            steps.setdefault((x, 0), set()).add((y, 1))
    seen, frontier = {(start, 0)}, [(start, 0)]
    while frontier:
        frontier = [after for state in frontier for after in steps.get(state, ()) if after not in seen]
        seen.update(frontier)
    return {system for system, _ in seen}


def test_valley_free_reach_agrees_with_a_search() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        n = int(generator.integers(2, 12))
        pairs = [(int(a), int(b)) for a, b in generator.integers(0, n, (int(generator.integers(1, 20)), 2)) if a != b]
        # Providers have lower numbers here, so that nobody is its own provider.
        transit = tuple({(min(p), max(p)) for p in pairs[::2]})
        peering = tuple({(min(p), max(p)) for p in pairs[1::2]})
        relations = Relations(n, transit, peering)
        reach = relations.valley_free(range(n))
        for start in range(n):
            assert {k for k in range(n) if reach[start] >> k & 1} == valley_free_by_search(relations, start)


def test_a_valley_is_not_crossed_and_a_provider_cycle_is_one() -> None:
    # 2 buys from 0 and 1: it does not carry between them.
    relations = Relations(3, ((0, 2), (1, 2)), ())
    assert [reach.bit_count() for reach in relations.valley_free(range(3))] == [2, 2, 3]
    cycle = Relations(3, ((0, 1), (1, 0), (1, 2)), ())
    assert [reach.bit_count() for reach in cycle.valley_free(range(3))] == [3, 3, 3]
    assert relations.valley_free(range(3), frozenset({0})) == [0, 0b110, 0b110]


def test_no_root_letter_is_the_single_point_but_their_zone_is() -> None:
    subject = build("internet")
    function = subject.function
    assert function is not None
    whole = function.score(frozenset())
    assert whole == 1
    for letter in "abcdefghijklm":
        assert function.score(frozenset({f"root {letter}"})) == whole
    assert function.score(frozenset(f"root {letter}" for letter in "abcdefghijklm")) == 0
    for shared in ("root zone", "root signing key"):
        assert function.score(frozenset({shared})) == 0
    assert function.score(frozenset({"com zone"})) == pytest.approx(2 / 3)
    report = audit(subject)
    witnesses_hold(subject, report)
    assert {elements[0] for elements, loss in findings(report, "AUD010").items() if loss == 1} == {
        "root zone",
        "root signing key",
    }
    worst = max(findings(report, "AUD001").values())
    assert worst < 0.2  # the links alone show no such thing


def test_as_relationship_file(tmp_path: Path) -> None:
    path = tmp_path / "as-rel.txt"
    path.write_text("# provider|customer|-1, peer|peer|0\n1|2|-1\n1|3|-1|bgp\n2|4|-1\n3|5|-1\n2|3|0\n")
    subject = build("internet", str(path))
    assert subject.elements == ("1", "2", "3", "4", "5")
    assert subject.function is not None
    assert subject.function.score(frozenset()) == 1
    # Without 1, the peering link still joins all; without 2, its customer is alone.
    assert subject.function.score(frozenset({"1"})) == pytest.approx(12 / 20)
    assert subject.function.score(frozenset({"2"})) == pytest.approx(6 / 20)
    witnesses_hold(subject, audit(subject))
    for bad in ("1 2 -1\n", "1|2|5\n", "1|1|0\n", ""):
        path.write_text(bad)
        with pytest.raises(InputError):
            build("internet", str(path))


# --- cortex


def test_watts_strogatz_is_small_world_in_the_middle_of_the_range() -> None:
    sigma = {}
    for p in (0.0, 0.05, 0.2, 1.0):
        graph = nx.watts_strogatz_graph(120, 8, p, seed=1)
        sigma[p] = small_worldness(Graph.of(120, np.array(graph.edges), directed=False))
    assert sigma[0.05] > 2
    assert sigma[0.2] > 2
    assert sigma[1.0] < 1.5
    assert sigma[0.0] < sigma[0.05]


def test_network_figures_agree_with_networkx() -> None:
    reference = nx.connected_caveman_graph(4, 6)
    graph = Graph.of(24, np.array(reference.edges), directed=False)
    groups = communities(graph)
    assert clustering(graph) == pytest.approx(nx.average_clustering(reference))
    assert modularity(graph, groups) == pytest.approx(
        nx.community.modularity(reference, [set(g.tolist()) for g in groups])
    )
    assert participation(graph, [np.arange(24)]) == pytest.approx(0)
    assert 0 < participation(graph, groups) < 0.2
    hubs = [(a, b) for a in range(4) for b in range(a)] + [(a, 4 + 4 * a + k) for a in range(4) for k in range(4)]
    hubs += [(4 + k, 4 + (k + 1) % 16) for k in range(16)]
    assert rich_club(Graph.of(20, hubs, directed=False), share=0.2) > 1.2


def test_the_cortex_is_sparse_selective_and_small_world(tmp_path: Path) -> None:
    subject = build("cortex")
    report = audit(subject)
    witnesses_hold(subject, report)
    scores = [condition.score for condition in report.conditions]
    assert None not in scores
    assert report.figures["small-worldness σ"] > 1.5
    assert report.figures["modularity Q"] > 0.3
    assert report.figures["function intact"] > 0.9
    # Sparse at each step, more even in the long run.
    parts = report.conditions[1].parts
    assert parts["sparseness per step"] > parts["sparseness of the long run"] + 0.1
    function = subject.function
    assert function is not None
    assert function.score(frozenset(subject.elements)) <= 0.5  # nothing left: chance
    path = tmp_path / "connectome.graphml"
    nx.write_graphml(nx.connected_watts_strogatz_graph(40, 6, 0.1, seed=1), path)
    other = build("cortex", str(path))
    assert other.activity is None
    assert float(other.figures["small-worldness σ"]) > 1


# --- topology


def test_a_topology_is_audited_as_it_says() -> None:
    from chorus.topology import parse

    subject = build("topology", "sliding_window(3)", actors=10)
    pairs = {(int(a), int(b)) for a, b in subject.graph.edges}
    topology = parse("sliding_window(3)")
    assert pairs == {(int(read), t) for t in range(10) for read in topology.neighbors(t, 0, 10) if read != t}
    with pytest.raises(InputError, match="no subject"):
        build("topologie")


# --- rooms of this package


def test_a_mesh_is_audited_from_its_log(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    pytest.importorskip("msgspec")
    import asyncio

    from chorus.mesh.config import load
    from chorus.mesh.entries import Ask, Entry, Proposal, Vote, identity, seal
    from chorus.mesh.fold import Applied, Fold
    from chorus.mesh.founding import found_here, member_lines
    from chorus.mesh.log import SqliteLog

    names = ["ada", "bob", "cyd"]
    paths = found_here(tmp_path, names, member=member_lines("sudoku"))
    config = load(paths[0])
    keys = {name: load(path).key() for name, path in zip(names, paths, strict=True)}
    fold = Fold(config.genesis)
    last: dict[str, tuple[int, tuple[bytes, ...]]] = dict.fromkeys(names, (-1, ()))
    records: list[bytes] = []

    def say(name: str, payload: Any) -> bytes:
        seq, parents = last[name]
        entry = Entry(config.genesis.hash, keys[name].public, seq + 1, len(records) + 1, parents, payload)
        record = seal(entry, keys[name])
        outcome = fold.apply(record)
        assert isinstance(outcome, Applied), outcome
        assert not outcome.note, outcome.note
        records.append(record)
        last[name] = (seq + 1, (identity(record),))
        return identity(record)

    # ada's first proposal has bob's and cyd's approval, her second bob's alone.
    for voters in (["bob", "cyd"], ["bob"]):
        asked = say("ada", Ask("2 + 2?", 100, 5.0))
        said = say("ada", Proposal(asked, "4", None, 1))
        for voter in voters:
            say(voter, Vote(said, True, 1.0, 0))
        from chorus.mesh.entries import Done

        for name in names[:2]:
            say(name, Done(asked, 0))

    async def write() -> None:
        log = SqliteLog(config.log_path)
        await log.append(records)
        await log.close()

    asyncio.run(write())
    subject = build("mesh", str(paths[0]))
    assert subject.elements[-1] == "ordered log"
    function = subject.function
    assert function is not None
    scores = {name: function.score(frozenset({name})) for name in function.candidates}
    assert function.score(frozenset()) == 1
    assert scores == {"ada": 0, "bob": 0.5, "cyd": 1, "ordered log": 0}
    report = audit(subject)
    witnesses_hold(subject, report)
    assert report.conditions[6].parts["coordinator's share"] == 1  # one SQLite file orders everything
    with pytest.raises(InputError, match="configuration"):
        build("mesh")


def test_a_mind_is_audited_by_thinking_again(tmp_path: Path) -> None:
    import torch

    from chorus.thought import Checkpoint, Mind, MindConfig, ThinkConfig
    from chorus.thought.tasks import make_task

    torch.manual_seed(0)
    task = make_task("sudoku4")
    mind = Mind(MindConfig.for_task(task, channels=16, hidden=16, heads=2, key_channels=8, value_channels=8)).eval()
    Checkpoint(mind=mind, task=task).save(tmp_path)
    subject = build("thought", str(tmp_path))
    function = subject.function
    assert function is not None
    assert {"thought 0", "energy head"} <= set(function.candidates)
    questions, answers = task.generate(24, 0)
    tokens = torch.as_tensor(questions.astype(np.int64))
    right = torch.as_tensor(answers.astype(np.int64))
    assert function.score(frozenset(name for name in function.candidates if name.startswith("thought"))) == 0
    # What is left of eight thoughts without the last one is what seven thoughts are.
    seven = mind.think(tokens, ThinkConfig(thoughts=7, steps=16, competition=None))
    assert function.score(frozenset({"thought 7"})) == pytest.approx(
        float((seven.answer == right).all(1).float().mean())
    )


# --- language models: each is built once

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def transformer() -> Subject:
    return build("transformer")


@pytest.fixture(scope="module")
def moe() -> Subject:
    return build("moe")


def test_a_transformer_loses_what_its_heads_give(transformer: Subject) -> None:
    function = transformer.function
    assert function is not None
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    scores = {name: function.score(frozenset({name})) for name in function.candidates}
    assert scores["layer 0"] < min(score for name, score in scores.items() if name.startswith("head"))
    assert scores["layer 0"] < 0.8  # it was trained to need attention
    assert all(0 <= score <= 1.000001 for score in scores.values())
    both = function.score(frozenset({"head 0.0", "head 0.1", "head 0.2", "head 0.3", "mlp 0"}))
    assert both == pytest.approx(scores["layer 0"])
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)  # nothing is left behind by the removals


def test_removing_a_head_is_zeroing_its_slice_of_the_output_projection() -> None:
    import torch

    from chorus.audit.subjects.transformer import Dissection

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(0, 20, (2, 10))
    parts = Dissection(model, ids)
    without = parts.run([(1, 2)], [])
    with torch.no_grad():
        weight = model.model.layers[1].self_attn.o_proj.weight
        weight[:, 2 * 8 : 3 * 8] = 0
        expected = model(ids).logits.softmax(-1)
    torch.testing.assert_close(without, expected)
    assert float((parts.intact - without).abs().max()) > 1e-4


def test_contributions_add_up_to_what_attention_writes() -> None:
    import torch

    from chorus.audit.subjects.transformer import Dissection

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=12, n_positions=8, n_embd=16, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    parts = Dissection(transformers.GPT2LMHeadModel(config).eval(), torch.randint(0, 12, (3, 8)))
    with torch.no_grad():
        projection = parts.outputs[0]
        whole = projection(parts.kept[0, "heads"]) - projection.bias
    np.testing.assert_allclose(parts.contributions()["head 0.0"], whole.norm(dim=-1).flatten().double(), rtol=1e-5)


def test_shared_tensors_are_resources_of_a_transformer(transformer: Subject) -> None:
    names = {resource.name: resource.users for resource in transformer.resources}
    assert names["tied embedding tensor"] == ("embedding", "unembedding")
    assert set(names["residual stream"]) == set(transformer.elements)
    report = audit(transformer)
    witnesses_hold(transformer, report)
    assert findings(report, "AUD005")[("residual stream",)] == 1
    assert ("head 0.0",) not in findings(report, "AUD001")
    total = sum(transformer.loads["parameters"])
    # Everything but positions and layer norms is accounted for.
    assert 0.9 < total / sum(p.numel() for p in _gpt2().parameters()) <= 1


def _gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=16, n_positions=32, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
        )
    )


def test_experts_and_routers(moe: Subject) -> None:
    function = moe.function
    assert function is not None
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    for element in ("expert 0.0", "expert 1.3", "router 0"):
        assert function.score(frozenset({element})) < 1
    assert function.repair is not None
    # All experts of a layer gone is worse than any one of them.
    layer = frozenset(f"expert 0.{k}" for k in range(8))
    assert function.score(layer) < min(function.score(frozenset({name})) for name in layer)
    figures = moe.figures
    assert (
        float(figures["router entropy per token, nats"])
        <= float(figures["router entropy of the mean, nats"])
        <= np.log(8)
    )
    assert float(figures["N·Σ f·P (1 at balance)"]) == pytest.approx(1, abs=0.5)
    report = audit(moe)
    witnesses_hold(moe, report)
    assert {("router 0",), ("router 1",)} == set(findings(report, "AUD001"))
    assert report.conditions[0].parts["information share"] > 0.2  # languages have experts of their own


def test_gates_are_the_weights_that_the_model_used(moe: Subject) -> None:
    activity = moe.activity
    assert activity is not None
    first = moe.number("expert 0.0")
    gates = activity[:, first : first + 8]
    assert ((gates > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(gates.sum(axis=1), 1, rtol=1e-5)


def test_a_fallback_router_uses_only_living_experts() -> None:
    import torch

    from chorus.audit.subjects.moe import Mixture

    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=16,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config).eval()
    parts = Mixture(model, torch.randint(0, 16, (2, 8)), 0)
    experts = next(module for name, module in model.named_modules() if name.endswith("experts"))
    used: list[Any] = []
    experts.register_forward_pre_hook(lambda _module, args: used.append((args[1].clone(), args[2].clone())))
    parts.run(frozenset({(0, 1)}), fallback=True)
    parts.run(frozenset({(0, 1)}))
    (index, weight), (dropped_index, dropped_weight) = used
    assert not (index == 1).any()
    torch.testing.assert_close(weight.sum(-1), torch.ones(16))
    assert (dropped_weight[dropped_index == 1] == 0).all()
    kept = parts.weights[0][dropped_index != 1]
    torch.testing.assert_close(dropped_weight[dropped_index != 1], kept)


@pytest.mark.parametrize("kind", ["transformer", "moe"])
def test_models_are_read_from_folders(tmp_path: Path, kind: str) -> None:
    if kind == "transformer":
        model = _gpt2()
    else:
        model = transformers.MixtralForCausalLM(
            transformers.MixtralConfig(
                vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=16,
            )
        )  # fmt: skip
    model.save_pretrained(tmp_path)
    subject = build(kind, str(tmp_path))
    assert subject.function is not None
    assert subject.function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    if kind == "transformer":
        with pytest.raises(InputError, match="no top-k router"):
            build("moe", str(tmp_path))
    lines = tmp_path / "lines.txt"
    lines.write_text("a b c\nb c a\n")
    with pytest.raises(InputError, match="no tokenizer"):
        build(kind, str(tmp_path), inputs=str(lines))
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path)
    told = build(kind, str(tmp_path), inputs=str(lines))
    assert told.activity is not None
    assert len(told.activity) == 6  # two lines of three tokens
    assert "lines.txt" in told.model


def test_overlap_is_one_minus_total_variation() -> None:
    import torch

    from chorus.audit.subjects.language import overlap

    p, q = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    assert overlap(p, q) == 0.5
    assert [overlap(a, b) for a, b in product((p,), (p,))] == [1.0]
