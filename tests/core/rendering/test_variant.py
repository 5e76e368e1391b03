"""The probe of libLLVM: asked once a library, in a subprocess, with a fallback that says so."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.core.errors import UserError
from components.core.rendering import variant


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty cache folder and no remembered answer, before and after."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(variant.LIBRARY_VARIABLE, "")
    monkeypatch.setattr(variant, "DRIVER", tmp_path / "no driver")
    monkeypatch.delenv(variant.DEVICES_VARIABLE, raising=False)
    variant.select_variant.cache_clear()
    yield
    variant.select_variant.cache_clear()


def libraries(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_a_library_is_probed_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = libraries(tmp_path, "libLLVM-20.so", "libLLVM-19.so")
    asked: list[Path] = []

    def probe(kind: str, settings: dict[str, str]) -> bool:
        assert kind == variant.LLVM
        asked.append(Path(settings[variant.LIBRARY_VARIABLE]))
        return asked[-1] == good

    monkeypatch.setattr(variant, "_candidates", lambda: [bad, good])
    monkeypatch.setattr(variant, "_probe", probe)
    for _ in range(2):
        variant.select_variant.cache_clear()
        monkeypatch.setenv(variant.LIBRARY_VARIABLE, "")
        assert variant.select_variant() == variant.LLVM
        assert os.environ[variant.LIBRARY_VARIABLE] == str(good)
    assert asked == [bad, good]
    monkeypatch.setenv(variant.LIBRARY_VARIABLE, "")
    variant.select_variant.cache_clear()
    bad.touch()
    os.utime(bad, ns=(1, 1))
    variant.select_variant()
    assert asked == [bad, good, bad]


@pytest.mark.parametrize("works", [True, False])
def test_a_gpu_is_probed_first_and_once_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    asked: list[str] = []

    def probe(kind: str, settings: dict[str, str]) -> bool:
        asked.append(kind)
        return kind == variant.LLVM or works

    monkeypatch.setattr(variant, "_candidates", lambda: libraries(tmp_path, "libLLVM-19.so"))
    monkeypatch.setattr(variant, "_probe", probe)
    assert variant.select_variant() == variant.LLVM  # no driver, no question
    variant.DRIVER.write_text("driver 1")
    for driver in ("driver 1", "driver 1", "driver 2"):
        variant.DRIVER.write_text(driver)
        variant.select_variant.cache_clear()
        assert variant.select_variant() == (variant.CUDA if works else variant.LLVM)
    assert asked == [variant.LLVM, variant.CUDA, variant.CUDA]
    monkeypatch.setenv(variant.DEVICES_VARIABLE, "")
    variant.select_variant.cache_clear()
    assert variant.select_variant() == variant.LLVM


def test_both_kinds_of_kernels_are_recorded() -> None:
    def active(name: str) -> bool:
        return variant.traced(SimpleNamespace(variant=lambda: name))

    assert active(variant.CUDA)
    assert active(variant.LLVM)
    assert not active(variant.SCALAR)


def test_without_a_usable_library_scalar_code_renders_and_one_message_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(variant, "_candidates", list)
    with caplog.at_level(logging.WARNING):
        assert variant.select_variant() == variant.SCALAR
        assert variant.select_variant() == variant.SCALAR
    assert len(caplog.records) == 1
    assert "libllvm19" in caplog.text


def test_a_library_that_cannot_be_loaded_fails_only_the_probe(tmp_path: Path) -> None:
    (broken,) = libraries(tmp_path, "libLLVM-19.so")
    assert not variant._probe(variant.LLVM, {variant.LIBRARY_VARIABLE: str(broken)})


def test_a_mitsuba_that_does_not_load_says_nothing_about_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise slow rendering would be remembered after the missing library is there."""

    def load(name: str) -> None:
        raise ImportError("libatomic.so.1: cannot open shared object file")

    monkeypatch.setattr(variant.importlib, "import_module", load)
    monkeypatch.setattr(variant, "_candidates", lambda: libraries(tmp_path, "libLLVM-19.so"))
    with pytest.raises(UserError, match=r"libatomic\.so\.1.*libatomic1"):
        variant.select_variant()
    assert not (tmp_path / "cache" / "realmat" / "variants.json").exists()
