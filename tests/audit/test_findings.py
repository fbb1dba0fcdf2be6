"""Every rule speaks where it should, its witness holds under a plain search, and its remedy does what it says."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from chorus.audit import (
    RULES,
    Finding,
    Function,
    Report,
    Resource,
    Subject,
    Suppression,
    Witness,
    attack_curve,
    audit,
    decisions,
    find_rule,
    recheck,
)
from chorus.errors import InputError

Make = Callable[..., Subject]


def of(report: Report, rule: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.rule == rule]


def check_all(subject: Subject, report: Report) -> None:
    for finding in report.findings:
        if finding.witness.claim != "measured":
            assert recheck(subject, finding.witness).holds, finding


def test_a_hub_is_found_and_a_second_one_helps(make: Make) -> None:
    spokes = [(0, leaf) for leaf in range(1, 6)]
    star = make(6, spokes)
    report = audit(star)
    check_all(star, report)
    hub = of(report, "AUD001")[0]
    assert (hub.elements, hub.level) == (("e0",), "error")
    assert hub.value == pytest.approx(20 / 30)
    assert (hub.remedy.text, hub.remedy.after) == ("a second e0 with the same links", 0)
    two = make(7, spokes + [(6, leaf) for leaf in range(1, 6)])
    assert decisions(two.graph).need[0] == 0
    assert len(of(report, "AUD002")) == 5


def test_a_few_links_around_an_element_are_named(make: Make) -> None:
    star = make(4, [(0, 1), (0, 2), (0, 3)])
    remedy = of(audit(star), "AUD001")[0].remedy
    assert (remedy.text, remedy.after) == ("link e1 – e2, e2 – e3", 0)
    assert remedy.links == (("e1", "e2"), ("e2", "e3"))
    assert decisions(star.with_links([(1, 2), (2, 3)]).graph).need[0] == 0


def test_a_remedy_names_three_links_and_holds_them_all(make: Make) -> None:
    star = make(60, [(0, leaf) for leaf in range(1, 60)])
    (remedy,) = (finding.remedy for finding in of(audit(star), "AUD006"))
    assert remedy.text.endswith(" and 3 more")
    assert len(remedy.links) == 6
    links = [(star.number(a), star.number(b)) for a, b in remedy.links]
    assert remedy.after == 2 * attack_curve(star.with_links(links).graph, "adaptive").robustness


def test_two_halves_have_a_cut_of_two_and_no_single_point(make: Make, two_halves: list[tuple[int, int]]) -> None:
    subject = make(16, two_halves)
    report = audit(subject)
    check_all(subject, report)
    assert not of(report, "AUD001")
    cut = of(report, "AUD003")[0]
    assert len(cut.elements) == cut.value == 2
    assert cut.remedy.before == 2
    assert cut.remedy.after == 3
    rest = subject.graph.without(map(subject.number, cut.elements))
    assert decisions(rest).connected < 14 * 13


def test_directed_single_points_are_found_where_undirected_ones_are_none(make: Make) -> None:
    ring = make(5, [(k, (k + 1) % 5) for k in range(5)], directed=True)
    report = audit(ring)
    check_all(ring, report)
    assert len(of(report, "AUD001")) == 5
    assert report.figures["articulation points, directions ignored"] == 0


def test_sources_and_sinks_decide_what_counts(make: Make) -> None:
    edges = [(0, 2), (1, 2), (2, 3), (2, 4), (0, 5), (5, 6)]
    subject = make(7, edges, directed=True, sources=(0, 1), sinks=(3, 4))
    report = audit(subject)
    check_all(subject, report)
    assert [finding.elements for finding in of(report, "AUD001")] == [("e2",)]
    assert of(report, "AUD001")[0].value == 1
    assert of(report, "AUD003")[0].level == "error"  # one element between sources and sinks
    assert of(report, "AUD003")[0].remedy.after == 2
    narrow = of(report, "AUD004")[0]
    assert narrow.elements == ("e2",)
    assert narrow.witness.claim == "longer"


def test_a_shared_resource_that_no_edge_shows(make: Make) -> None:
    clique = [(a, b) for a in range(8) for b in range(a)]
    subject = make(8, clique, resources=(Resource("feed", ("e0", "e1", "e2", "e3")),))
    report = audit(subject)
    check_all(subject, report)
    finding = of(report, "AUD005")[0]
    # Of 56 pairs, 12 are among the other four.
    assert finding.value == pytest.approx(1 - 12 / 56)
    assert finding.level == "error"
    assert finding.remedy.after == pytest.approx(1 - 30 / 56)  # the worse copy still takes two
    assert "nothing" in finding.message


def test_unreachable_and_isolated(make: Make) -> None:
    subject = make(5, [(0, 1), (2, 3)])
    report = audit(subject)
    check_all(subject, report)
    gap = of(report, "AUD008")[0]
    assert gap.value == pytest.approx(1 - 4 / 20)
    assert gap.level == "error"
    assert gap.remedy.after == 0
    assert [finding.elements for finding in of(report, "AUD009")] == [("e4",)]
    chain = audit(make(3, [(0, 1), (1, 2)], directed=True))
    assert {finding.level for finding in of(chain, "AUD008")} == {"note"}


def test_attack_concentration_idle_and_centre(make: Make) -> None:
    star = make(30, [(0, leaf) for leaf in range(1, 30)], loads={"traffic": np.array([60.0] + [1] * 29)})
    report = audit(star)
    check_all(star, report)
    assert of(report, "AUD006")[0].witness.removed == ("e0",)
    load = of(report, "AUD007")[0]
    assert load.value == pytest.approx(60 / 89)
    assert load.remedy.after == pytest.approx(30 / 89)  # e0 divided in two
    assert of(report, "AUD012")[0].elements == ("e0",)
    active = np.ones((4, 30))
    active[:, 7] = 0
    idle = of(audit(replace(star, activity=active)), "AUD011")
    assert [finding.elements for finding in idle] == [("e7",)]


def test_function_loss_and_its_repair(make: Make) -> None:
    def score(gone: frozenset[str]) -> float:
        return 10.0 - 6 * ("e1" in gone) - 0.5 * ("e2" in gone)

    function = Function("output", score, ("e0", "e1", "e2"), lambda name: ("a spare", 9.0))
    subject = make(4, [(0, 1), (1, 2), (2, 3), (3, 0)], function=function)
    report = audit(subject)
    check_all(subject, report)
    found = of(report, "AUD010")
    assert [(finding.elements, round(finding.value, 9)) for finding in found] == [(("e1",), 0.6)]
    assert found[0].message == "without e1, output falls from 10 to 4"
    assert found[0].remedy.after == pytest.approx(0.1)
    assert report.conditions[5].parts["function kept, worst element"] == pytest.approx(0.4)


def test_a_remedy_that_does_not_help_says_so(make: Make) -> None:
    def score(gone: frozenset[str]) -> float:
        return 10.0 - 6 * ("e1" in gone)

    ring = [(0, 1), (1, 2), (2, 3), (3, 0)]
    function = Function("output", score, ("e1",), lambda name: ("a spare", 3.0))
    (lost,) = of(audit(make(4, ring, function=function)), "AUD010")
    assert (lost.remedy.text, lost.remedy.after) == ("tried without success: a spare", 0.7)
    clique = [(a, b) for a in range(4) for b in range(a)]
    everyone = make(4, clique, resources=(Resource("air", ("e0", "e1", "e2", "e3")), Resource("key", ("e0",))))
    air, key = of(audit(everyone), "AUD005")
    assert air.remedy.text == "give every other user a second, independent air"
    assert key.remedy.text == "tried without success: give every other user a second, independent key"


def test_what_cannot_be_recomputed_is_said_by_the_system_itself(make: Make) -> None:
    def score(gone: frozenset[str]) -> float:
        return 1.0 - 0.8 * ("e1" in gone)

    function = Function("output", score, ("e1",), repair_note="buy another")
    report = audit(make(4, [(a, b) for a in range(4) for b in range(a)], function=function))
    (low,) = of(report, "AUD106")
    assert low.remedy == of(report, "AUD010")[0].remedy
    assert low.remedy.text == "buy another"


def test_remedies_of_low_conditions_are_recomputed(make: Make) -> None:
    report = audit(make(12, [(0, leaf) for leaf in range(1, 12)]))
    low = {finding.rule for finding in report.findings if finding.rule >= "AUD100"}
    assert {"AUD104", "AUD106", "AUD107"} <= low
    for finding in report.findings:
        if finding.rule >= "AUD100":
            assert finding.remedy.before == finding.value
            assert finding.remedy.after is not None


def test_every_finding_is_complete(make: Make, two_halves: list[tuple[int, int]]) -> None:
    for subject in (
        make(16, two_halves),
        make(6, [(0, 1), (1, 2), (3, 4)]),
        make(4, [(0, 1), (1, 2), (2, 3)], directed=True),
    ):
        report = audit(subject)
        for finding in report.findings:
            rule = find_rule(finding.rule)
            assert finding.threshold in [threshold for _, threshold in rule.thresholds]
            assert finding.message
            assert finding.remedy.text
            assert finding.recheck.startswith("chorus audit ")
        assert [f.level for f in report.findings] == sorted(
            (f.level for f in report.findings), key="error warning note".index
        )


def test_a_false_witness_does_not_hold(make: Make) -> None:
    path = make(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
    for witness in (
        Witness("cut", removed=("e1",), pairs=(("e0", "e2"),)),  # the other way round remains
        Witness("cut", removed=("e1",), pairs=(("e1", "e2"),)),  # removed is no victim
        Witness("apart", pairs=(("e0", "e2"),)),
        Witness("shrink", removed=("e0",)),
        Witness("longer", removed=("e1",), pairs=(("e0", "e2"),)),  # two edges either way
        Witness("cut", removed_links=(("e0", "e1"),), pairs=(("e0", "e1"),)),
    ):
        assert not recheck(path, witness).holds, witness
    with pytest.raises(InputError, match="no link"):
        recheck(path, Witness("cut", removed_links=(("e0", "e2"),), pairs=(("e0", "e1"),)))
    with pytest.raises(InputError, match="'nobody'"):
        recheck(path, Witness("cut", removed=("nobody",), pairs=(("e0", "e1"),)))
    with pytest.raises(InputError, match="no function"):
        recheck(path, Witness("fall", removed=("e0",)))


def test_baseline_and_suppressions(make: Make) -> None:
    report = audit(make(4, [(0, 1), (1, 2), (2, 3)]))
    old = frozenset(finding.fingerprint for finding in report.findings[:2])
    later = report.with_baseline(old)
    assert later.known == report.findings[:2]
    assert later.findings == report.findings[2:]
    all_points = Suppression("AUD001", "e*", "planned")
    unused = Suppression("AUD010", "*", "none")
    accepted = report.with_suppressions([all_points, unused])
    assert not of(accepted, "AUD001")
    assert {reason for _, reason in accepted.suppressed} == {"planned"}
    assert accepted.unused == (unused,)
    assert report.with_baseline(frozenset(f.fingerprint for f in report.findings)).exit_code("note") == 0


def test_fingerprints_ignore_figures_and_tell_elements_apart(make: Make) -> None:
    small = audit(make(4, [(0, 1), (1, 2), (2, 3)]))
    large = audit(make(5, [(0, 1), (1, 2), (2, 3), (3, 4)]))

    def prints(report: Report) -> dict[tuple[str, ...], str]:
        return {f.elements: f.fingerprint for f in of(report, "AUD001")}

    assert prints(small)[("e1",)] == prints(large)[("e1",)]
    assert len({f.fingerprint for f in small.findings}) == len(small.findings)


def test_same_seed_same_report(make: Make, two_halves: list[tuple[int, int]]) -> None:
    from chorus.audit import write

    subject = make(16, two_halves)
    assert write(audit(subject, null_samples=3), "json") == write(audit(subject, null_samples=3), "json")
    assert write(audit(subject, seed=1), "json") != write(audit(subject, seed=2), "json")


def test_rules_are_told_by_id_and_name() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES) == 19
    assert find_rule("aud003") is find_rule("small-cut")
    with pytest.raises(InputError, match="audit rules"):
        find_rule("AUD999")
