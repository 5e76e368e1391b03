"""The environments that come with the project, computed instead of downloaded.

They stand in for the paper's 200 natural HDR environments (section 5, "Rendering"): clear and
clouded skies after Mitsuba's `sunsky` model, overcast skies, canopies, and rooms lit by windows or
lamps. Environment i of a seed is the same whatever the number asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.rendering.environments import (
    HEIGHT,
    WIDTH,
    Environment,
    FloatArray,
    irradiance,
    normalised,
)
from components.core.rendering.variant import mitsuba, traced

Array = NDArray[np.float64]

KINDS = ("clear", "clouds", "window", "overcast", "clear", "canopy", "lamps", "clouds")
"""The kind of environment i is KINDS[i % 8]: five outdoors, one under trees, two indoors."""

_POLAR = np.linspace(0.0, np.pi, HEIGHT)[:, None]
_AZIMUTH = ((np.arange(WIDTH) + 0.5) * (2 * np.pi / WIDTH))[None, :]
_UP = np.cos(_POLAR) * np.ones_like(_AZIMUTH)
_DIRECTIONS = np.stack(
    [np.sin(_POLAR) * np.sin(_AZIMUTH), -np.sin(_POLAR) * np.cos(_AZIMUTH), _UP], axis=-1
)
"""(h, w, 3) unit vectors of the pixels, z up."""

_X, _Y, _Z = (np.ascontiguousarray(_DIRECTIONS[..., axis], np.float32) for axis in range(3))

_SUN_RADIUS = np.deg2rad(0.2679)
_SUN_BLUR = np.deg2rad(1.5)


def embedded_environments(count: int = 24, seed: int = 0) -> list[Environment]:
    """`count` different normalised environments, radiance (128, 256, 3); a pure function."""
    return [_environment(index, seed) for index in range(count)]


def _environment(index: int, seed: int) -> Environment:
    kind = KINDS[index % len(KINDS)]
    rng = np.random.default_rng([seed, index])
    makers = {
        "clear": _clear,
        "clouds": _clouds,
        "overcast": _overcast,
        "canopy": _canopy,
        "window": _windows,
        "lamps": _lamps,
    }
    radiance = np.maximum(makers[kind](rng), 0.0).astype(np.float32)
    return normalised(Environment(f"{kind}-{index:03d}", radiance))


def _clear(rng: np.random.Generator) -> Array:
    """A clear sky with its sun above ground and a dark skyline."""
    elevation = np.deg2rad(rng.uniform(20.0, 70.0))
    sky, sun = _sky(elevation, rng.uniform(2.0, 6.0), rng.uniform(0.0, 2 * np.pi))
    return _on_ground(sky + sun, rng)


def _clouds(rng: np.random.Generator) -> Array:
    """A sky in part covered by clouds, the sun shining through more or less of them."""
    elevation = np.deg2rad(rng.uniform(25.0, 70.0))
    sky, sun = _sky(elevation, rng.uniform(2.5, 5.0), rng.uniform(0.0, 2 * np.pi))
    cover = _smoothstep(_noise(rng, 3.0), -0.4, 0.5)[..., None]
    sunlight = (sun.sum(axis=(0, 1)) / sky.sum(axis=(0, 1)))[None, None]
    shading = (1.0 + 0.5 * _noise(rng, 6.0))[..., None]
    white = sky.mean(axis=(0, 1)) * (1.5 + 0.4 * sunlight) * shading
    veil = rng.uniform(0.05, 0.6)
    return _on_ground(sky * (1 - cover) + white * cover + sun * veil, rng)


def _overcast(rng: np.random.Generator) -> Array:
    """The CIE overcast sky, brightest overhead, with faint clouds and one brighter side."""
    side = _towards(rng, rng.uniform(20.0, 60.0))
    brightness = (1 + 2 * np.maximum(_UP, 0.0)) / 3
    brightness = brightness * (1 + 0.25 * _noise(rng, 4.0)) * (1 + rng.uniform(0, 1.2) * side**3)
    return _on_ground(brightness[..., None] * _tint(rng, 0.05), rng)


def _canopy(rng: np.random.Generator) -> Array:
    """Light through leaves: green shade with gaps to the sky, and a sun in part hidden."""
    sky, sun = _sky(np.deg2rad(rng.uniform(35.0, 75.0)), 3.0, rng.uniform(0.0, 2 * np.pi))
    gaps = _smoothstep(_noise(rng, 9.0) + 0.5 * _noise(rng, 24.0), 0.1, 0.9)[..., None]
    leaves = np.array([0.35, 0.5, 0.2]) * (1 + 0.5 * _noise(rng, 16.0))[..., None]
    shade = sky.mean(axis=(0, 1)) * leaves
    return _on_ground(sky * 1.3 * gaps + shade * (1 - gaps) + sun * rng.uniform(0.1, 0.5), rng)


def _windows(rng: np.random.Generator) -> Array:
    """A room with one to three windows on its sides and light walls that scatter their light."""
    room = _room(rng)
    first = rng.uniform(0.0, 2 * np.pi)
    for number in range(int(rng.integers(1, 4))):
        azimuth = first + number * rng.uniform(0.7, 1.3)
        width, height = rng.uniform(0.25, 0.7), rng.uniform(0.25, 0.55)
        pane = _box(azimuth, rng.uniform(0.35, 0.9), width, height, 0.03)
        bars = 1 - 0.8 * _box(azimuth, 0.6, 0.015, 2.0, 0.01)
        room += (rng.uniform(8.0, 20.0) * pane * bars)[..., None] * np.array([0.9, 1.0, 1.12])
    return room


def _lamps(rng: np.random.Generator) -> Array:
    """A room with two to five warm lamps overhead, or one large soft box."""
    room = _room(rng) * np.array([1.15, 1.0, 0.8])
    if rng.random() < 0.4:
        size, elevation = rng.uniform(0.35, 0.7), rng.uniform(0.7, 1.2)
        box = _box(rng.uniform(0, 2 * np.pi), elevation, size, size * 0.6, 0.05)
        return room + 12.0 * box[..., None] * _tint(rng, 0.08)
    for _ in range(int(rng.integers(2, 6))):
        direction = _direction(np.deg2rad(rng.uniform(25.0, 80.0)), rng.uniform(0.0, 2 * np.pi))
        radius = np.deg2rad(rng.uniform(2.5, 7.0))
        disc = _glow(direction, radius)
        warm = np.array([1.2, 1.0, rng.uniform(0.55, 0.9)])
        room += (rng.uniform(20.0, 60.0) * disc)[..., None] * warm
    return room


def _room(rng: np.random.Generator) -> Array:
    """Walls, ceiling and floor of different lightness with soft corners and clutter."""
    ceiling = _smoothstep(_UP, 0.55, 0.75)
    walls = 0.35 * (1 + 0.5 * np.cos(2 * (_AZIMUTH - rng.uniform(0, np.pi)))) * np.ones_like(_UP)
    lightness = walls * (1 - ceiling) + rng.uniform(0.4, 0.9) * ceiling
    furniture = _smoothstep(_noise(rng, 8.0) - 3.0 * np.maximum(_UP, 0.0), 0.0, 0.4)
    lightness = lightness * (1 - 0.6 * furniture) * (1 + 0.15 * _noise(rng, 5.0))
    floor = _smoothstep(-_UP, 0.0, 0.1)
    lightness = lightness * (1 - floor) + rng.uniform(0.1, 0.3) * floor
    return lightness[..., None] * _tint(rng, 0.1)


def _sky(elevation: float, turbidity: float, azimuth: float) -> tuple[Array, Array]:
    """(sky, sun), both (h, w, 3): `sunsky` without its disc, and the disc's power, spread.

    The disc is half a degree wide, a third of a pixel here, so it is laid out as a Gaussian of
    the same irradiance instead of being hit or missed by pixel centres.
    """
    mi = mitsuba()
    direction = _direction(elevation, azimuth)
    common = {
        "type": "sunsky",
        "sun_direction": [float(x) for x in direction],
        "turbidity": float(turbidity),
    }
    upper = _DIRECTIONS[_POLAR[:, 0] < np.pi / 2]
    sky = np.zeros_like(_DIRECTIONS)
    sky[: len(upper)] = _evaluate(mi, mi.load_dict({**common, "sun_scale": 0.0}), upper)
    disc = _evaluate(mi, mi.load_dict({**common, "sky_scale": 0.0}), direction[None, None])[0, 0]
    power = disc * 2 * np.pi * (1 - np.cos(_SUN_RADIUS))
    glow = _glow(direction, _SUN_BLUR)
    area = np.sin(_POLAR) * (np.pi / (HEIGHT - 1)) * (2 * np.pi / WIDTH)
    return sky, (glow / (glow * area).sum())[..., None] * power


def _evaluate(mi: Any, emitter: Any, directions: Array) -> Array:
    """Radiance (..., 3) that the emitter sends from unit vectors (..., 3), z up."""
    flat = directions.reshape(-1, 3).astype(np.float32)
    if traced(mi):
        interaction = mi.SurfaceInteraction3f()
        interaction.wi = -mi.Vector3f(np.ascontiguousarray(flat.T))
        values = np.array(emitter.eval(interaction)).T
    else:
        values = np.array([emitter.eval(_seen(mi, vector)) for vector in flat])
    return values.reshape(directions.shape).astype(np.float64)


def _seen(mi: Any, vector: FloatArray) -> Any:
    interaction = mi.SurfaceInteraction3f()
    interaction.wi = [-float(x) for x in vector]
    return interaction


def _on_ground(sky: Array, rng: np.random.Generator) -> Array:
    """The sky above a skyline of trees or houses and a ground lit by that sky."""
    skyline = rng.uniform(0.0, 0.18) * (1 + 0.6 * _noise(rng, 5.0)[HEIGHT // 2][None, :])
    hidden = _smoothstep(skyline - _UP, -0.01, 0.02)[..., None]
    light = irradiance(sky.astype(np.float32)) / np.pi
    dark = light * rng.uniform(0.05, 0.15) * np.array([0.9, 1.0, 0.8])
    below = _smoothstep(-_UP, 0.0, 0.05)[..., None]
    ground = light * rng.uniform(0.1, 0.35) * np.array([1.0, 0.95, 0.85])
    return (sky * (1 - hidden) + dark * hidden) * (1 - below) + ground * below


def _noise(rng: np.random.Generator, frequency: float) -> Array:
    """(h, w) smooth noise over the sphere, mean 0 and deviation near 0.5: sums of plane waves."""
    waves = rng.normal(size=(28, 3))
    scales = frequency * 2.0 ** rng.uniform(0.0, 2.0, size=28)
    heights = (frequency / scales) ** 0.8
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for wave, scale, height in zip(waves, scales, heights, strict=True):
        x, y, z = (wave * scale).astype(np.float32)
        phase = np.float32(rng.uniform(0.0, 2 * np.pi))
        total += np.float32(height) * np.cos(x * _X + y * _Y + z * _Z + phase)
    return (total / np.sqrt(2 * (heights**2).sum())).astype(np.float64)


def _box(azimuth: float, elevation: float, width: float, height: float, soft: float) -> Array:
    """(h, w) 1 within a rectangle of angles (radians, half sizes), soft at its edges."""
    across = np.abs((_AZIMUTH - azimuth + np.pi) % (2 * np.pi) - np.pi) - width
    along = np.abs(np.pi / 2 - _POLAR - elevation) - height
    return _smoothstep(-across, -soft, soft) * _smoothstep(-along, -soft, soft)


def _glow(direction: Array, radius: float) -> Array:
    """(h, w) Gaussian of that angular radius around a direction, 1 in its centre."""
    return np.exp((_DIRECTIONS @ direction - 1.0) / radius**2)


def _towards(rng: np.random.Generator, elevation: float) -> Array:
    """(h, w) cosine lobe around a random azimuth at an elevation in degrees, 0 behind."""
    direction = _direction(np.deg2rad(elevation), rng.uniform(0.0, 2 * np.pi))
    return np.maximum(_DIRECTIONS @ direction, 0.0)


def _direction(elevation: float, azimuth: float) -> Array:
    level = np.cos(elevation)
    return np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])


def _tint(rng: np.random.Generator, strength: float) -> Array:
    """(3,) a colour near white."""
    return 1.0 + strength * rng.uniform(-1.0, 1.0, size=3)


def _smoothstep(x: Array, low: float, high: float) -> Array:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
