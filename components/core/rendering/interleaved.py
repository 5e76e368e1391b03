"""A sampler whose error does not look like grain: the score of a rendering reacts to grain.

With independent patterns in every pixel, as Mitsuba's samplers have them, an image of few samples
is grainy, and a grainy material scores as another material would: not only noisier but higher, by
more or less, so that the order of the materials is lost. Here each pixel of a small square has its
own part of one pattern, and all squares have the same (interleaved sampling; Keller and Heidrich
2001). What is left of the error is a slight change of the light, alike for the whole image. The
square should be what the scorer averages into one of its own pixels.

The pattern is a (0, 2)-sequence (Sobol's first two dimensions) with Owen's scrambling by a hash,
padded over the dimensions of a path (Burley 2020, "Practical hash-based Owen scrambling"). A
pixel's samples are an aligned block of it, so each pixel is stratified by itself, and so is the
square; both numbers must therefore be powers of two. The hash's constants are those of Laine and
Karras' method as improved by Vegdahl (2021).
"""

from __future__ import annotations

import logging
from typing import Any

from components.core.rendering.variant import traced

PLUGIN = "realmat_interleaved"
NAME = "interleaved"
log = logging.getLogger(__name__)
_registered: set[str] = set()
"""Variants in which the plugin is known; it is made of a variant's types."""


def interleaved(mi: Any, size: int, interleave: int) -> dict[str, Any]:
    """The sampler of a film of `size` columns, for Mitsuba's `load_dict`.

    interleave: side in pixels of the square that shares one pattern, a power of two. Scalar code
    would call Python for every single sample, so it gets "multijitter", which has the same mean.
    """
    if not traced(mi):
        log.warning("Scalar code has no sampler %r: images are grainy, scores less certain.", NAME)
        return {"type": "multijitter"}
    if mi.variant() not in _registered:
        mi.register_sampler(PLUGIN, _sampler(mi))
        _registered.add(mi.variant())
    return {"type": PLUGIN, "columns": size, "interleave": interleave}


def _sampler(mi: Any) -> Any:
    """The class of the sampler in the active variant."""
    import drjit as dr

    class Interleaved(mi.Sampler):
        """State: the place in the pattern of each sample, the path's dimension, and the seed."""

        def __init__(self, properties: Any) -> None:
            super().__init__(properties)
            self.columns = properties["columns"]
            self.interleave = properties["interleave"]
            self.key, self.dimension, self.place = (mi.UInt32(0) for _ in range(3))

        def fork(self) -> Any:
            # The properties that this one was made of are gone: Mitsuba lends them.
            properties = mi.Properties(PLUGIN)
            properties["sample_count"] = self.sample_count()
            properties["columns"], properties["interleave"] = self.columns, self.interleave
            return Interleaved(properties)

        def clone(self) -> Any:
            made = self.fork()
            made.key, made.dimension, made.place = (
                mi.UInt32(each) for each in (self.key, self.dimension, self.place)
            )
            return made

        def seed(self, seed: Any, wavefront_size: int = 0xFFFFFFFF) -> None:
            super().seed(seed, wavefront_size)
            samples = self.sample_count()
            # Without a size, that of before is meant.
            number = dr.arange(mi.UInt32, self.wavefront_size())
            pixel = number // samples
            cell = _cell(pixel % self.columns, pixel // self.columns, self.interleave)
            self.key, self.dimension = mi.UInt32(seed), mi.UInt32(0)
            self.place = cell * samples + number % samples

        def schedule_state(self) -> None:
            dr.schedule(self.key, self.dimension, self.place)

        def next_1d(self, active: Any = True) -> Any:
            place, key = self._next()
            return _unit(mi, _scrambled(dr, dr.brev(place), _mixed(key ^ 0x63D83595)))

        def next_2d(self, active: Any = True) -> Any:
            place, key = self._next()
            first = _scrambled(dr, dr.brev(place), _mixed(key ^ 0x63D83595))
            second = _scrambled(dr, _sobol(dr, mi, place, self._bits()), _mixed(key ^ 0x1B56C4E9))
            return mi.Point2f(_unit(mi, first), _unit(mi, second))

        def to_string(self) -> str:
            return f"Interleaved[interleave={self.interleave}]"

        def _bits(self) -> int:
            """Of a place in the pattern."""
            return int(self.sample_count() * self.interleave**2 - 1).bit_length()

        def _next(self) -> tuple[Any, Any]:
            """The places, shuffled for the next dimension of the path, and its key."""
            key = _mixed(self.key * 0x9E3779B9 + self.dimension * 0x7FEB352D + 0x68BC21EB)
            self.dimension += 1
            shuffled = _scrambled(dr, self.place, _mixed(key ^ 0xA511E9B3))
            return shuffled & ((1 << self._bits()) - 1), key

    return Interleaved


def _cell(column: Any, row: Any, interleave: int) -> Any:
    """Which of the square's cells a pixel is, in Morton's order, so that quarters of the square
    are aligned blocks as well."""
    found = 0 * column
    for bit in range(interleave.bit_length() - 1):
        found |= ((column >> bit) & 1) << (2 * bit)
        found |= ((row >> bit) & 1) << (2 * bit + 1)
    return found


def _sobol(dr: Any, mi: Any, place: Any, bits: int) -> Any:
    """Sobol's second dimension, whose directions are the rows of Pascal's triangle modulo 2."""
    found, direction = mi.UInt32(0), 1 << 31
    for bit in range(bits):
        found ^= dr.select((place >> bit) & 1 == 1, mi.UInt32(direction), mi.UInt32(0))
        direction ^= direction >> 1
    return found


def _scrambled(dr: Any, value: Any, key: Any) -> Any:
    """Owen's scrambling: each bit is flipped by a hash of those above it."""
    value = dr.brev(value)
    value ^= value * 0x3D20ADEA
    value += key
    value *= (key >> 16) | 1
    value ^= value * 0x05526C56
    value ^= value * 0x53A22864
    return dr.brev(value)


def _mixed(value: Any) -> Any:
    """A hash of 32 bits (the finaliser of MurmurHash3)."""
    value = value ^ (value >> 16)
    value *= 0x85EBCA6B
    value ^= value >> 13
    value *= 0xC2B2AE35
    return value ^ (value >> 16)


def _unit(mi: Any, value: Any) -> Any:
    """Of [0, 1): the upper 24 bits, which a float holds."""
    return mi.Float(value >> 8) * 2.0**-24
