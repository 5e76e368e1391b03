"""`realmat generate`, `render` and `score`: the trained model and the renderer at work."""

import argparse
import gc
import json
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import UserError
from pipelines.arguments import add_model, find_registry, number

if TYPE_CHECKING:
    from components.core.generator import ModelVersion
    from components.core.materials.material import Material
    from components.core.rendering.environments import Environment
    from components.core.rendering.scene import Renderer

STILLS, LOOPS = (".png", ".exr"), (".webp", ".gif")
FORMATS = ("zip", "glb", "glb-flat", "mtlx", "usdz")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands to the parser."""
    generate = commands.add_parser(
        "generate",
        help="make materials from a text",
        description="Makes PBR materials from a text, as PNG maps and in other formats.",
        epilog="example: realmat generate 'old red brick wall' -n 4 --format glb -o bricks",
    )
    generate.add_argument("prompt", metavar="PROMPT", help="what to make, in English")
    generate.add_argument("-n", type=number(1, 10_000), default=1, help="how many (default: 1)")
    generate.add_argument("--seed", metavar="S", type=number(0, 2**31), default=0)
    add_model(generate)
    generate.add_argument("--tileable", action="store_true", help="edges that fit each other")
    generate.add_argument(
        "--format",
        dest="formats",
        choices=FORMATS,
        action="append",
        default=[],
        help="also as this format (glb-flat: relief by normal map only); may be given again",
    )
    generate.add_argument("-o", "--output", metavar="DIR", required=True)
    generate.add_argument("--json", action="store_true", help="one JSON object a material")
    generate.set_defaults(call=_generate)

    render = commands.add_parser(
        "render",
        help="render a material",
        description="Renders a material's folder from above; .png is sRGB, .exr linear radiance, "
        "with --point-light also .webp or .gif: a loop in which the lamp goes round.",
        epilog="example: realmat render bricks --environment field.hdr --size 512 -o bricks.png",
    )
    render.add_argument("material", metavar="MATERIAL_DIR", help="a folder with a material's maps")
    light = render.add_mutually_exclusive_group()
    light.add_argument("--environment", metavar="FILE", help="a .hdr or .exr environment map")
    light.add_argument("--point-light", action="store_true", help="one lamp above the material")
    render.add_argument("--sphere", action="store_true", help="on a sphere instead of a plane")
    render.add_argument("--size", metavar="PX", type=number(8, 4096), default=512)
    render.add_argument("--spp", metavar="N", type=number(1, 65536), default=64)
    render.add_argument("--seed", metavar="S", type=number(0, 2**31), default=0)
    render.add_argument(
        "-o", "--output", metavar="FILE", required=True, help=".png, .exr, .webp or .gif"
    )
    render.set_defaults(call=_render)

    score = commands.add_parser(
        "score",
        help="score how realistic images of materials look",
        description="Scores images by the realism reward: one JSON object a line.",
        epilog="example: realmat score bricks.png --model models:/realmat-reward@champion",
    )
    score.add_argument("images", metavar="IMAGE", nargs="+")
    add_model(score, "a reward or a material model with one: ")
    score.set_defaults(call=_score)


def _generate(given: argparse.Namespace) -> int:
    from components.core.generator import MaterialGenerator, check_prompt
    from components.core.materials.files import save_material

    prompt = check_prompt(given.prompt)
    output = Path(given.output)
    output.mkdir(parents=True, exist_ok=True)
    generator = MaterialGenerator.load(given.model, find=_find)
    seeds = range(given.seed, given.seed + given.n)
    materials = generator.generate([prompt] * given.n, list(seeds), tileable=given.tileable)
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "material"
    for seed, material in zip(seeds, materials, strict=True):
        folder = output if given.n == 1 else output / f"{name}-{seed}"
        save_material(material, folder)
        files = _export(material, folder, name, given.formats)
        if given.json:
            line = {"folder": str(folder), "seed": seed, "files": [str(file) for file in files]}
            print(json.dumps(line))
        else:
            print(" ".join([str(folder), *map(str, files)]))
    return 0


def _find(uri: str) -> "tuple[Path, ModelVersion]":
    """`locate`; a registry is asked by another process while this one imports torch and diffusers.

    MLflow and torch each take a third of the time in which a user waits for a first material.
    """
    # Imports make a million objects that stay; looking for garbage among them takes a sixth of the
    # time.
    gc.disable()
    try:
        if not uri.startswith("models:/"):
            return _locate(uri)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_locate, uri)
            for name in ("lora", "sampler", "tiling"):
                import_module(f"components.core.diffusion.{name}")
            return found.result()
    finally:
        gc.enable()


def _locate(uri: str) -> "tuple[Path, ModelVersion]":
    from components.core.generator import locate

    find_registry(uri)
    return locate(uri)


def _export(material: "Material", folder: Path, name: str, formats: list[str]) -> list[Path]:
    from components.core.materials.export import write_mtlx, write_zip
    from components.core.materials.gltf import write_glb
    from components.core.materials.usd import write_usdz

    files = []
    for kind in dict.fromkeys(formats):
        ending = "flat.glb" if kind == "glb-flat" else kind
        file = folder / f"{name}.{ending}"
        if kind == "zip":
            write_zip(material, file)
        elif kind == "glb":
            write_glb(material, file)
        elif kind == "glb-flat":
            write_glb(material, file, resolution=1)
        elif kind == "usdz":
            write_usdz(material, file)
        else:
            write_mtlx(material, folder, name)
        files.append(file)
    return files


def _render(given: argparse.Namespace) -> int:
    import numpy as np

    output = Path(given.output)
    suffix = output.suffix.lower()
    if suffix not in (*STILLS, *LOOPS):
        raise UserError(
            f"-o {output} must end in .png (sRGB), .exr (linear radiance), .webp or .gif (a loop)."
        )
    if suffix in LOOPS and not given.point_light:
        raise UserError(f"-o {output} is a loop of the moving lamp: add --point-light.")
    if given.sphere and (given.point_light or suffix != ".png"):
        raise UserError("--sphere renders a .png under an environment.")
    material = _material(Path(given.material))
    if given.sphere:
        image = _render_sphere(material, given)
    elif suffix in LOOPS:
        from components.core.platform.progress import track
        from components.core.rendering.loop import point_light_loop, write_loop

        renderer = _renderer(material, given)
        frames = point_light_loop(
            renderer, material, seed=given.seed, progress=lambda i: track(i, "frames")
        )
        write_loop(frames, output)
        print(output)
        return 0
    elif given.point_light:
        renderer = _renderer(material, given)
        image = renderer.render_point_light(material, np.pi / 4, seed=given.seed)
    else:
        image = _renderer(material, given).render(
            material, _environment(given.environment), seed=given.seed
        )
    _write_still(image, output)
    print(output)
    return 0


def _renderer(material: "Material", given: argparse.Namespace) -> "Renderer":
    from components.core.rendering.scene import Renderer

    resolution = min(max(*material.size, 64), 512)
    return Renderer(given.size, given.spp, mesh_resolution=resolution)


def _render_sphere(material: "Material", given: argparse.Namespace) -> Any:
    from components.core.rendering.sphere import SphereRenderer

    renderer = SphereRenderer(given.size, given.spp)
    return renderer.render_srgb(material, _environment(given.environment), seed=given.seed)


def _environment(file: str | None) -> "Environment":
    from components.core.rendering.embedded import embedded_environments
    from components.core.rendering.environments import load_environment

    if not file:
        return embedded_environments(1)[0]
    environment = load_environment(file)
    for note in environment.notes:
        print(f"{file}: {note}", file=sys.stderr)
    return environment


def _write_still(image: Any, output: Path) -> None:
    """Write 8-bit images as they are and radiance as the file's kind wants, whole or not at all."""
    from components.core.rendering.color import to_srgb_uint8

    if output.suffix.lower() == ".png" and image.dtype.kind == "f":
        image = to_srgb_uint8(image)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial{output.suffix}")
    try:
        _write(image, partial)
        partial.rename(output)
    finally:
        partial.unlink(missing_ok=True)


def _material(folder: Path) -> "Material":
    """Opens a folder that `realmat generate` wrote, or a PBR set of other hands.

    Items of catalogues have a material.json too, but maps with the names of their library.
    """
    from components.core.materials.files import SIDECAR, load_material
    from components.core.materials.pbr_set import load_pbr_set

    if (folder / SIDECAR).exists() and (folder / "albedo.png").exists():
        return load_material(folder)
    material = load_pbr_set(folder)
    defaults = [f"no {name} map, so a default is used" for name in material.metadata["defaults"]]
    for note in [*material.metadata["notes"], *defaults]:
        print(f"{folder}: {note}", file=sys.stderr)
    return material


def _write(image: Any, file: Path) -> None:
    """Writes float radiance as EXR and 8-bit sRGB as PNG."""
    if file.suffix.lower() == ".exr":
        from components.core.rendering.threads import threads_for_files
        from components.core.rendering.variant import mitsuba

        bitmap = mitsuba().Bitmap(image)
        with threads_for_files():
            bitmap.write(str(file))
    else:
        from PIL import Image

        Image.fromarray(image).save(file)


def _score(given: argparse.Namespace) -> int:
    import numpy as np

    from components.core.generator import load_reward
    from components.core.materials.photos import read_photo
    from components.core.realism.model import SIZE

    images = [(read_photo(Path(name), SIZE) * 255).round() for name in given.images]
    find_registry(given.model)
    scores = load_reward(given.model)(np.stack(images).astype(np.uint8))
    for name, score in zip(given.images, scores, strict=True):
        print(json.dumps({"image": name, "score": round(float(score), 6)}))
    return 0
