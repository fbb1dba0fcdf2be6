"""`chorus dynamics`: simulate phases, rotors and neurons, and hold them to theory."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

app = typer.Typer(
    help="Coupled phases, rotors on spheres and excitable units, measured beside the theory.", no_args_is_help=True
)


def _drawable(path: Path | None) -> Path | None:
    if path is not None:
        from chorus.dynamics.pictures import drawable

        drawable(path)
    return path


Plot = Annotated[
    Path | None, typer.Option(callback=_drawable, help="Draw the picture to this file: .png, .svg or .pdf.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


class Frequencies(StrEnum):
    """Distributions of natural frequencies."""

    lorentzian = "lorentzian"
    gaussian = "gaussian"
    identical = "identical"


class Model(StrEnum):
    """Excitable units."""

    hodgkin_huxley = "hodgkin-huxley"
    fitzhugh_nagumo = "fitzhugh-nagumo"


def _numbers(option: str, text: str) -> "np.ndarray":
    """Read "1,2,3" or "start:stop:count"."""
    import numpy as np

    from chorus.errors import InputError

    try:
        if ":" in text:
            start, stop, count = text.split(":")
            if not 1 <= int(count) <= 100_000:
                raise ValueError
            return np.linspace(float(start), float(stop), int(count))
        return np.array([float(part) for part in text.split(",")])
    except ValueError as error:
        raise InputError(
            f"{option}: cannot read {text!r}; write 1,2,3 or start:stop:count, as 0:6:13, of at most 100,000"
        ) from error


def _print_points(points: list[dict[str, Any]], symbol: str) -> None:
    typer.echo(f"{'K':>8}  {symbol + ' measured':>12}  {'theory':>8}  {'difference':>10}")
    for point in points:
        theory = point["theory"]
        beside = "       –           –" if theory is None else f"{theory:8.4f}  {point['measured'] - theory:+10.4f}"
        typer.echo(f"{point['coupling']:8.4g}  {point['measured']:12.4f}  {beside}")


@app.command()
def kuramoto(
    coupling: Annotated[str, typer.Option("--coupling", "-K", help="K: 1,2,3 or start:stop:count.")] = "0:6:13",
    frequencies: Annotated[Frequencies, typer.Option(help="Distribution of ω.")] = Frequencies.lorentzian,
    width: Annotated[float, typer.Option(help="Half width or standard deviation of ω, rad/s.")] = 1.0,
    noise: Annotated[float, typer.Option(help="σ, rad/√s.")] = 0.0,
    oscillators: Annotated[int, typer.Option("--oscillators", "-n", help="How many.")] = 5000,
    topology: Annotated[str | None, typer.Option(help="Who reads whom, as in `chorus topology`. Default: all.")] = None,
    delay: Annotated[float, typer.Option(help="Seconds from sending to reading.")] = 0.0,
    dt: Annotated[float, typer.Option(help="Time step, seconds.")] = 0.02,
    duration: Annotated[float, typer.Option(help="Length of each run, seconds; r is taken over its second half.")] = 60,
    seed: Seed = 0,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Measure the order parameter r of coupled phases against the coupling K, beside the theory."""
    from chorus.dynamics import phase_transition
    from chorus.topology import parse

    transition = phase_transition(
        _numbers("--coupling", coupling),
        frequencies=frequencies.value,
        width=width,
        noise=noise,
        n=oscillators,
        dt=dt,
        duration=duration,
        topology=parse(topology) if topology else None,
        delay=delay,
        seed=seed,
    )
    if plot:
        from chorus.dynamics.pictures import draw_transition

        draw_transition(transition, plot, f"{oscillators:,} oscillators, {frequencies.value} frequencies")
    if as_json:
        typer.echo(json.dumps(asdict(transition)))
        return
    typer.echo(f"{oscillators:,} oscillators, {frequencies.value} frequencies, noise {noise:g}, dt {dt:g}, seed {seed}")
    if transition.critical is None:
        typer.echo("no theory is known over a topology or with a delay")
    else:
        typer.echo(f"critical coupling in theory: {transition.critical:.4f} rad/s")
    _print_points(asdict(transition)["points"], "r")


@app.command()
def sphere(
    dimensions: Annotated[str, typer.Option("--dimensions", "-d", help="Dimensions D, such as 2,3,4.")] = "2,3,4",
    coupling: Annotated[str, typer.Option("--coupling", "-K", help="K: 1,2,3 or start:stop:count.")] = "0.25:3:12",
    rotors: Annotated[int, typer.Option("--rotors", "-n", help="How many.")] = 2000,
    deviation: Annotated[float, typer.Option(help="Standard deviation of the entries of Ω, rad/s.")] = 1.0,
    dt: Annotated[float, typer.Option(help="Time step, seconds.")] = 0.05,
    duration: Annotated[float, typer.Option(help="Least length of a run, seconds.")] = 40,
    seed: Seed = 0,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Measure the order |ρ| of rotors on the sphere in D dimensions: odd D jumps at K = 0, even D does not."""
    import numpy as np

    from chorus.dynamics import random_points, random_rotations, simulate_sphere, sphere_transition
    from chorus.dynamics.checks import count

    couplings = _numbers("--coupling", coupling)
    curves = {
        d: sphere_transition(d, couplings, n=rotors, deviation=deviation, dt=dt, duration=duration, seed=seed)
        for d in (count("--dimensions", d, at_least=2) for d in _numbers("--dimensions", dimensions))
    }
    if plot:
        from chorus.dynamics.pictures import draw_spheres

        rng, K = np.random.default_rng(seed), float(couplings.max())
        run = simulate_sphere(
            random_points(600, 3, rng), K, omega=random_rotations(600, 3, rng), dt=dt,
            steps=max(int(15 / dt), 2), every=max(int(15 / dt) // 30, 1), keep_points=True,
        )  # fmt: skip
        assert run.points is not None
        shown = [0, int(np.argmax(run.order > run.order[-1] / 2)), len(run.times) - 1]
        draw_spheres({f"D = 3, K = {K:g}, t = {run.times[i]:.3g} s": run.points[i] for i in shown}, curves, plot)
    if as_json:
        typer.echo(json.dumps({d: [asdict(point) for point in curve] for d, curve in curves.items()}))
        return
    for d, curve in curves.items():
        typer.echo(f"{rotors:,} rotors in {d} dimensions, Ω entries N(0, {deviation:g}²), dt {dt:g}, seed {seed}")
        _print_points([asdict(point) for point in curve], "|ρ|")


@app.command()
def neuron(
    model: Annotated[Model, typer.Option(help="Which unit.")] = Model.hodgkin_huxley,
    current: Annotated[float | None, typer.Option(help="Input of the spike train. Default: 10 µA/cm², or 0.5.")] = None,
    curve: Annotated[str | None, typer.Option(help="Inputs of the f–I curve: 1,2,3 or start:stop:count.")] = None,
    duration: Annotated[float | None, typer.Option(help="Length of the spike train. Default: 100 ms, or 200.")] = None,
    dt: Annotated[float | None, typer.Option(help="Time step. Default: 0.025 ms, or 0.1.")] = None,
    bare: Annotated[bool, typer.Option("--bare", help="The published equations: no saturating synapse.")] = False,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Measure an excitable unit: rest, spike, rheobase, onset of firing, refractory period, f–I curve."""
    import math

    from chorus.dynamics import FitzHughNagumo, HodgkinHuxley, firing_rates, neuron_figures, stimulate

    hh = model is Model.hodgkin_huxley
    limit = {"limit": math.inf} if bare else {}
    unit = HodgkinHuxley(**limit) if hh else FitzHughNagumo(**limit)
    dt = (0.025 if hh else 0.1) if dt is None else dt
    drive = (10.0 if hh else 0.5) if current is None else current
    currents = _numbers("--curve", curve or ("0:60:25" if hh else "0:1.5:31"))
    lasting = (100.0 if hh else 200.0) if duration is None else duration
    train = stimulate(unit, drive, lasting, dt=dt)
    rates = firing_rates(unit, currents, dt=dt, settle=100 if hh else 200, duration=200 if hh else 600)
    figures = neuron_figures(unit, dt=dt, drive=drive)
    scale, per, time, amount, volt = (1e3, "Hz", "ms", "µA/cm²", "mV") if hh else (1.0, "per unit of time", "", "", "")
    if plot:
        from chorus.dynamics.pictures import draw_neuron

        draw_neuron(
            train, currents, rates * scale, plot,
            title=f"{model.value}, input {drive:g} {amount}".rstrip(),
            time_unit="time (ms)" if hh else "time", membrane="V (mV)" if hh else "v",
            current="input (µA/cm²)" if hh else "input I", rate=f"rate ({per})",
        )  # fmt: skip
    spikes = train.spikes[0].tolist()
    if as_json:
        pairs = [{"current": float(c), "rate": float(r * scale)} for c, r in zip(currents, rates, strict=True)]
        typer.echo(json.dumps({"model": model.value, **asdict(figures), "spikes": spikes, "curve": pairs}))
        return
    typer.echo(f"{model.value}{', bare equations' if bare else ''}, dt {dt:g} {time}".rstrip())
    rows = [
        ("rest", figures.rest, volt),
        (f"spike peak at {drive:g}", figures.peak, volt),
        ("rheobase (one spike)", figures.rheobase, amount),
        ("onset of repetitive firing", figures.onset, amount),
        ("rate at onset", figures.onset_rate * scale, per),
        (f"refractory period, pulses of {figures.pulse:g}", figures.refractory, time),
    ]
    for name, value, measure in rows:
        typer.echo(f"  {name:36} {value:10.4g} {measure}".rstrip())
    typer.echo(f"  spikes at {drive:g}: {', '.join(f'{t:.2f}' for t in spikes) or 'none'}")
    typer.echo(f"{'input':>8}  {'rate, ' + per:>18}")
    for c, r in zip(currents, rates, strict=True):
        typer.echo(f"{c:8.4g}  {r * scale:18.4g}")
