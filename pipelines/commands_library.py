"""`realmat library`: what the procedural library can make, at a glance."""

import argparse
import io
from pathlib import Path

from components.core.errors import UserError
from pipelines.arguments import number

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    library = commands.add_parser(
        "library",
        help="show the procedural library",
        description="Renders a material of each category on a sphere, under three environments.",
        epilog="example: realmat library --seed 3 -o library.jpg",
    )
    library.add_argument(
        "--environment", metavar="FILE", action="append", default=[], help="light; up to three"
    )
    library.add_argument("--size", metavar="PX", type=number(32, 1024), default=160)
    library.add_argument("--spp", metavar="N", type=number(1, 4096), default=64)
    library.add_argument("--seed", metavar="S", type=number(0, 2**31), default=0)
    library.add_argument("-o", "--output", metavar="FILE", required=True, help=".png, .jpg, .webp")
    library.set_defaults(call=_library)


def _library(given: argparse.Namespace) -> int:
    import numpy as np
    from PIL import Image

    output = Path(given.output)
    if output.suffix.lower() not in PICTURES:
        raise UserError(f"-o {output} must end in one of {', '.join(PICTURES)}.")
    if len(given.environment) > 3:
        raise UserError(f"{len(given.environment)} environments are too many: give three or fewer.")
    from components.core.materials.files import write_whole
    from components.core.materials.library.catalogue import sample
    from components.core.materials.material import CATEGORIES
    from components.core.platform.progress import track
    from components.core.rendering.embedded import embedded_environments
    from components.core.rendering.environments import load_environment
    from components.core.rendering.sheet import contact_sheet
    from components.core.rendering.sphere import SphereRenderer

    lights = [load_environment(file) for file in given.environment] or embedded_environments(3)
    rng = np.random.default_rng(given.seed)
    materials = [sample(category, rng, 2 * given.size) for category in CATEGORIES]
    sheet = contact_sheet(
        materials,
        lights,
        SphereRenderer(given.size, given.spp),
        progress=lambda items: track(items, "materials"),
    )
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, Image.registered_extensions()[output.suffix.lower()])
    write_whole(output, buffer.getvalue())
    print(output)
    return 0
