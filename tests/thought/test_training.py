"""Training: segments with truncated gradients, labels of hypotheses, averages, and a state to go on from."""

import math

import pytest
import torch
from small_minds import random_mind

from chorus.errors import ChorusError, InputError
from chorus.thought import BankSource, TrainConfig, Trainer
from chorus.thought.tasks import make_task

FAST = {"problems": 16, "segment": 3, "segments": 4, "learning_rate": 5e-3, "warmup": 5, "ema": 0.9}


def sudoku4_source(n=200):
    task = make_task("sudoku4")
    return BankSource(task, *task.generate(n, seed=0))


def new_trainer(seed=0, mind_seed=0, **settings):
    return Trainer(random_mind(mind_seed), sudoku4_source(), TrainConfig(**{**FAST, "seed": seed, **settings}))


@pytest.fixture(scope="module")
def run():
    """40 updates with two thoughts that often commit, and their reports."""
    trainer = new_trainer(updates=40, thoughts=2, commit_after=1, commit=0.8, segments=6)
    return trainer, list(trainer.steps())


def test_the_loss_falls(run):
    _, reports = run
    early = sum(report.cross_entropy for report in reports[:5])
    late = sum(report.cross_entropy for report in reports[-5:])
    assert late < 0.7 * early
    assert all(math.isfinite(report.loss) for report in reports)
    assert {report.exact != report.exact or 0 <= report.exact <= 1 for report in reports} == {True}


def test_a_thought_is_viable_exactly_when_all_it_committed_is_right():
    trainer = new_trainer(updates=12, thoughts=2, commit_after=1, commit=0.8, segments=6)
    wrong = committed = 0
    for _ in trainer.steps():
        batch = trainer.batch
        given, answer = batch.given, batch.answer[:, None]
        assert torch.equal(batch.viable, ((given < 0) | (given == answer)).all(-1))
        asked = trainer.mind.encoder.givens(batch.tokens)[:, None].expand_as(given)
        assert torch.equal(given[asked >= 0], asked[asked >= 0])
        wrong += int((~batch.viable).sum())
        committed += int((given != asked).sum())
    assert 0 < wrong < committed


def test_states_go_on_without_gradients_and_old_problems_leave():
    trainer = new_trainer(updates=9, segments=3)
    for _ in trainer.steps():
        assert not trainer.batch.h.requires_grad
        assert trainer.batch.age.max() < 3
    before = trainer.batch.h.clone()
    stays = trainer.batch.age == 0
    trainer.config = TrainConfig(**{**FAST, "updates": 10, "segments": 99, "commit": 0, "forget": 0})
    h, _, _ = trainer.segment(before, trainer.batch.tokens, trainer.batch.given)
    trainer.step()
    same = (trainer.batch.h - h).abs().flatten(1).amax(1) < 1e-6
    assert same[stays & (trainer.batch.age > 0)].all()  # whoever stays thinks on from where it was


def test_gradients_run_through_the_whole_segment_and_no_further():
    trainer = new_trainer()
    batch = trainer.batch
    h = batch.h.clone().requires_grad_()
    states, logits, _ = trainer.segment(h, batch.tokens, batch.given)
    (gradient,) = torch.autograd.grad(logits.sum(), h)
    assert gradient.abs().sum() > 0
    context = trainer.mind.encoder(batch.tokens, batch.given[:, 0])
    expected = batch.h[:, 0]
    for _ in range(FAST["segment"]):
        expected = trainer.mind.processor(expected, context)
    torch.testing.assert_close(states[:, 0], expected)


def test_the_average_follows_the_weights():
    trainer = new_trainer(updates=3)
    name = "decoder.linear.weight"
    average = trainer.average[name].clone()
    for update, _ in enumerate(trainer.steps(), start=1):
        decay = min(0.9, (1 + update) / (10 + update))
        average = decay * average + (1 - decay) * trainer.mind.state_dict()[name]
        torch.testing.assert_close(trainer.average[name], average)
    kept = trainer.averaged()
    torch.testing.assert_close(kept.state_dict()[name], average)
    assert not torch.equal(kept.state_dict()[name], trainer.mind.state_dict()[name])


def test_a_state_brings_back_weights_moments_and_counters():
    first = new_trainer(updates=8)
    for _ in range(4):
        first.step()
    state = {name: value.clone() for name, value in first.state().items()}
    second = new_trainer(updates=8, mind_seed=1)
    second.load_state(state)
    again = second.state()
    assert again.keys() == state.keys()
    assert any(name.startswith("moment.") for name in state)
    for name, value in state.items():
        if name != "generator":  # drawing a new batch moved it on
            assert torch.equal(again[name], value), name
    third = new_trainer(updates=8, mind_seed=2)
    third.load_state(state)
    reports = [[trainer.step().loss for _ in range(4)] for trainer in (second, third)]
    assert reports[0] == reports[1]
    assert torch.equal(second.state()["average.decoder.linear.weight"], third.state()["average.decoder.linear.weight"])
    assert second.update == 8


def test_a_state_of_another_architecture_is_refused():
    state = new_trainer().state()
    other = Trainer(random_mind(channels=8), sudoku4_source(), TrainConfig(**FAST))
    with pytest.raises(InputError, match="does not belong"):
        other.load_state(state)
    with pytest.raises(InputError, match="does not belong"):
        new_trainer().load_state({name: value for name, value in state.items() if name != "update"})


def test_the_same_seed_trains_the_same_mind():
    losses = [[report.loss for report in new_trainer(seed, updates=4).steps()] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_loss_that_is_not_finite_stops_and_says_where():
    trainer = new_trainer()
    with torch.no_grad():
        trainer.mind.decoder.linear.weight.fill_(math.inf)
    with pytest.raises(ChorusError, match=r"the loss is nan at update 0; try a lower learning_rate"):
        trainer.step()


def test_an_empty_bank():
    task = make_task("sudoku4")
    questions, answers = task.generate(1, seed=0)
    with pytest.raises(InputError, match="nothing to train on"):
        BankSource(task, questions[:0], answers[:0])


def test_a_source_draws_problems_with_one_solution_each_under_symmetries():
    task = make_task("sudoku4")
    questions, answers = task.generate(1, seed=0)
    drawn, solved = BankSource(task, questions, answers).draw(50, torch.Generator().manual_seed(0))
    texts = {task.decode_question(question) for question in drawn.numpy()}
    assert len(texts) > 20
    for question, answer in zip(drawn.numpy(), solved.numpy(), strict=True):
        assert task.check(task.decode_question(question), task.decode(answer))
