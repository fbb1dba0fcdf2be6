"""Excitable units agree with an independent integration, recover, and are never silenced for good."""

from itertools import pairwise

import numpy as np
import pytest
from squid_axon import at_rest, peak, spikes, weakest

from chorus.dynamics import (
    FitzHughNagumo,
    HodgkinHuxley,
    firing_rates,
    refractory_period,
    rheobase,
    saturate,
    stimulate,
)
from chorus.errors import ChorusError, InputError

BARE = HodgkinHuxley(limit=np.inf)
DT = 0.02


def test_rest() -> None:
    assert BARE.rest() == pytest.approx(at_rest(), rel=1e-6)
    assert BARE.rest()[0] == pytest.approx(-65, abs=0.01)
    quiet = stimulate(BARE, 0.0, 50, dt=DT)
    assert np.abs(quiet.membrane + 65).max() < 0.01


def test_spike_peak() -> None:
    ours = stimulate(BARE, 10.0, 20, dt=DT).membrane.max()
    assert ours == pytest.approx(peak(10.0, 20), rel=0.005)
    assert ours == pytest.approx(40, abs=1)


def test_rheobase() -> None:
    ours = rheobase(BARE, 1.5, 3.0, dt=DT, duration=50)
    theirs = weakest(lambda level: len(spikes(lambda t: level, 50)) >= 1, 1.5, 3.0, 0.005)
    assert ours == pytest.approx(theirs, rel=0.02)


def test_onset_of_repetitive_firing() -> None:
    many = 12  # within 250 ms: one-off spikes give at most a few
    ours = rheobase(BARE, 5.5, 7.5, dt=DT, duration=250, spikes=many, tolerance=0.01)
    theirs = weakest(lambda level: len(spikes(lambda t: level, 250)) >= many, 5.5, 7.5, 0.02)
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ours == pytest.approx(6.26, rel=0.02)
    onset = firing_rates(BARE, np.array([ours + 0.02]), dt=DT, settle=150, duration=250)[0] * 1e3
    assert 45 < onset < 60  # Hz; a jump from 0, not a slow start


def test_frequency_against_current() -> None:
    currents = np.array([6.5, 8.0, 12.0, 20.0, 40.0])
    ours = firing_rates(BARE, currents, dt=DT, settle=80, duration=160)
    for current, rate in zip(currents, ours, strict=True):
        late = spikes(lambda t, level=current: level, 240)
        late = late[late >= 80]
        assert rate == pytest.approx((len(late) - 1) / (late[-1] - late[0]), rel=0.01)


def test_refractory_period() -> None:
    ours = refractory_period(BARE, 30.0, 0.5, dt=DT, longest=25, tolerance=0.05)

    def both(gap: float) -> bool:
        return len(spikes(lambda t: 30.0 * (t < 0.5 or gap <= t < gap + 0.5), gap + 12, 0.05)) >= 2

    assert ours == pytest.approx(weakest(both, 5, 20, 0.05), rel=0.02)
    assert 5 < ours < 15


def test_the_step_is_second_order() -> None:
    def end(dt: float) -> np.ndarray:
        return stimulate(BARE, 10.0, 8, dt=dt, every=10**6).state[:, 0]

    exact = end(0.0005)
    errors = [np.abs(end(dt) - exact).max() for dt in (0.02, 0.01, 0.005)]
    assert [a / b for a, b in pairwise(errors)] == pytest.approx([4, 4], rel=0.1)


def test_steps_stay_in_bounds_under_any_input() -> None:
    unit = HodgkinHuxley()
    state = unit.rest((6,))
    current = np.array([-1e12, -50.0, 0.0, 50.0, 1e3, 1e12])
    for _ in range(4000):
        state = unit.step(state, current, 0.05)
    assert np.isfinite(state).all()
    assert ((state[1:] >= 0) & (state[1:] <= 1)).all()


@pytest.mark.parametrize(
    ("unit", "levels", "dt", "settle", "duration"),
    [
        (HodgkinHuxley(), [10.0, 40.0, 50.0, 154.0, 1e3, 1e9], 0.04, 100, 200),
        (FitzHughNagumo(), [0.35, 0.8, 1.2, 1.42, 10.0, 1e9], 0.1, 100, 400),
    ],
)
def test_no_input_silences_a_unit(
    unit: HodgkinHuxley | FitzHughNagumo, levels: list[float], dt: float, settle: float, duration: float
) -> None:
    strong = firing_rates(unit, np.array(levels), dt=dt, settle=settle, duration=duration)
    assert (strong > 0.7 * strong[0]).all()
    # Nor does any input, of either sign, leave a mark: once it is gone the unit fires as it would have.
    past = np.array([*levels, -levels[0], -1e9, 0.0])
    after = stimulate(unit, past, 50, dt=dt).state
    again = stimulate(unit, np.full(len(past), levels[0]), settle + duration, dt=dt, state=after)
    assert again.rate(after=settle) == pytest.approx(np.full(len(past), strong[0]), rel=0.02)


def test_the_bare_equations_do_fall_silent() -> None:
    rates = firing_rates(BARE, np.array([20.0, 200.0]), dt=0.04, settle=100, duration=150)
    assert rates[0] > 0
    assert rates[1] == 0
    rates = firing_rates(FitzHughNagumo(limit=np.inf), np.array([0.5, 1.6]), dt=0.1, settle=200, duration=300)
    assert rates[0] > 0
    assert rates[1] == 0


def test_fitzhugh_nagumo_fires_between_its_two_hopf_points() -> None:
    unit = FitzHughNagumo(limit=np.inf)
    v = np.sqrt(1 - unit.b * unit.epsilon) * np.array([-1, 1])
    low, high = v**3 / 3 - v + (v + unit.a) / unit.b
    assert (low, high) == pytest.approx((0.331, 1.419), abs=1e-3)
    # 0.02 to either side leaves room for the narrow range in which firing and rest are both stable.
    rates = firing_rates(
        unit, np.array([low - 0.02, low + 0.02, high - 0.02, high + 0.02]), dt=0.1, settle=600, duration=600
    )
    assert (rates > 0).tolist() == [False, True, True, False]


def test_fitzhugh_nagumo_is_its_equation() -> None:
    from scipy.integrate import solve_ivp

    unit = FitzHughNagumo(limit=np.inf)
    rest = unit.rest()
    assert np.abs(unit.derivative(rest, 0.0)).max() < 1e-14

    def slope(t: float, y: np.ndarray) -> list[float]:
        return [y[0] - y[0] ** 3 / 3 - y[1] + 0.5, 0.08 * (y[0] + 0.7 - 0.8 * y[1])]

    exact = solve_ivp(slope, (0, 60), rest, "DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(stimulate(unit, 0.5, 60, dt=0.05).state[:, 0], exact, atol=1e-6)


def test_saturation_is_the_identity_where_it_says_so_and_smooth_beyond() -> None:
    inputs = np.linspace(-60, 400, 4601)
    bent = saturate(inputs, 40, 50)
    assert (bent[np.abs(inputs) <= 40] == inputs[np.abs(inputs) <= 40]).all()
    slopes = np.diff(bent[inputs >= -40]) / 0.1
    assert ((slopes >= 0) & (slopes <= 1 + 1e-9)).all()
    assert np.abs(np.diff(slopes)).max() < 0.01
    assert bent.max() <= 50
    assert saturate(7.0, 5, 5) == 5


def test_units_side_by_side_do_not_touch_each_other() -> None:
    together = stimulate(BARE, np.array([0.0, 8.0, 30.0]), 40, dt=DT).membrane
    alone = [stimulate(BARE, level, 40, dt=DT).membrane[:, 0] for level in (0.0, 8.0, 30.0)]
    np.testing.assert_array_equal(together.T, alone)


def test_noise_makes_a_resting_unit_fire_now_and_then_and_is_repeatable() -> None:
    runs = [stimulate(BARE, np.full(8, 1.5), 200, dt=0.04, noise=1.5, seed=seed, every=100) for seed in (1, 1, 2)]
    assert sum(len(s) for s in runs[0].spikes) > 5
    np.testing.assert_array_equal(runs[0].membrane, runs[1].membrane)
    assert (runs[0].membrane != runs[2].membrane).any()


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"dt: 0.1 is too large to resolve a spike of HodgkinHuxley; at most 0.05"):
        stimulate(BARE, 10.0, 10, dt=0.1)
    with pytest.raises(InputError, match="dt: got 0, must be above 0"):
        stimulate(BARE, 10.0, 10, dt=0.0)
    with pytest.raises(InputError, match=r"current: nan at \[1\]"):
        stimulate(BARE, np.array([1.0, np.nan]), 10, dt=DT)
    with pytest.raises(InputError, match=r"current, state: shapes \(3,\) and \(4, 2\)"):
        stimulate(BARE, np.zeros(3), 10, dt=DT, state=BARE.rest((2,)))
    with pytest.raises(InputError, match="unit 1 left all bounds at time"):
        stimulate(FitzHughNagumo(limit=np.inf), np.array([0.5, 1e9]), 10, dt=0.5)
    assert np.isfinite(stimulate(BARE, np.array([-1e9, 1e9]), 5, dt=0.05).state).all()
    with pytest.raises(InputError, match="g_na: got -1, must be above 0"):
        HodgkinHuxley(g_na=-1.0)
    with pytest.raises(InputError, match="limit: got 3, must be at least linear"):
        HodgkinHuxley(limit=3.0)
    with pytest.raises(InputError, match="b: got 1"):
        FitzHughNagumo(b=1.5)
    with pytest.raises(ChorusError, match="input 2 does not make 1 spikes"):
        rheobase(BARE, 1.0, 2.0, dt=0.05, duration=20)
    with pytest.raises(ChorusError, match="two pulses of 1 made 0 spikes"):
        refractory_period(BARE, 1.0, 0.5, dt=0.05, longest=10)
