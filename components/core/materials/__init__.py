"""Material maps: the maps themselves, the 2×2 grid, the procedural library, reading and writing."""
