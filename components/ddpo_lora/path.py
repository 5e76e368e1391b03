"""Ways from noise to image on which the policy chooses in few places only.

With all steps noisy, a sample costs as many forward passes as it has steps, trained or not. Outside
of the window that is trained, steps can be joined and made without noise (MixGRPO-Flash, Li et al.
2025), and the samples of a prompt can share what comes before it, which is then made once. The
transitions that are trained keep DDPM's noise and density; with joined steps, the states that they
start from are those of another sampler than the one that is used afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import (
    Learn,
    Move,
    Trajectory,
    draw_noise,
    follow,
    noise_source,
)


@dataclass(frozen=True)
class Path:
    """moves: from noise to image. columns: of each transition of full sampling that may be trained,
    which move it is."""

    moves: tuple[Move, ...]
    columns: Mapping[int, int]

    @property
    def before(self) -> int:
        """Moves before the first that is in `columns`."""
        return min(self.columns.values(), default=0)


def full_path(transitions: Sequence[tuple[int, int]]) -> Path:
    """Every transition, with noise."""
    return Path(tuple(Move(*pair) for pair in transitions), {i: i for i in range(len(transitions))})


def window_path(
    transitions: Sequence[tuple[int, int]], trained: Collection[int], stride: int
) -> Path:
    """The trained transitions, and of the others up to `stride` in one, without noise.

    With a stride of 1 the others are left as they are, with noise.
    """
    if stride == 1:
        path = full_path(transitions)
        return Path(path.moves, {i: i for i in trained})
    moves, columns, place = list[Move](), dict[int, int](), 0
    while place < len(transitions):
        if place in trained:
            columns[place] = len(moves)
            moves.append(Move(*transitions[place]))
            place += 1
            continue
        stops = [i for i in trained if i > place]
        following = min([place + stride, len(transitions), *stops])
        moves.append(Move(transitions[place][0], transitions[following - 1][1], eta=0.0))
        place = following
    return Path(tuple(moves), columns)


def sample_path(
    model: TextToImage,
    embeds: PromptEmbeds,
    seeds: Sequence[int],
    path: Path,
    *,
    guidance: float,
    group: int = 1,
    learn: Mapping[int, Learn] | None = None,
) -> Trajectory:
    """Sample a batch along a path, every state and log-prob kept.

    group: so many samples in a row, of one prompt, share the path up to its first trained move:
    that part is made from the first one's seed, for all of them. learn: of transitions that are
    trained, what is given their log-probabilities as they are sampled.
    """
    heads = list(range(0, len(seeds), group))
    sources = [noise_source(seeds[head]) for head in heads]
    latents = draw_noise(model, sources)
    states, log_probs = [latents.repeat_interleave(group, dim=0)], []
    shared, own = path.moves[: path.before], path.moves[path.before :]
    for step in follow(model, embeds[heads], latents, sources, shared, guidance=guidance):
        states.append(step.x_prev.repeat_interleave(group, dim=0))
        log_probs.append(step.log_prob.repeat_interleave(group, dim=0))
    sources = [noise_source(seed) for seed in seeds]
    for _ in range(1 + len(shared)):  # what the shared part has used of the first one's noise
        draw_noise(model, sources)
    taught = {path.columns[index] - path.before: each for index, each in (learn or {}).items()}
    for step in follow(model, embeds, states[-1], sources, own, guidance=guidance, learn=taught):
        states.append(step.x_prev)
        log_probs.append(step.log_prob)
    return Trajectory(
        torch.stack(states, dim=1),
        torch.stack(log_probs, dim=1),
        [(move.t, move.t_prev) for move in path.moves],
    )
