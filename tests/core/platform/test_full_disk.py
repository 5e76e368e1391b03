"""A full disk is a sentence, whoever found it full."""

import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from components.core.errors import UserError
from components.core.platform.full_disk import naming_full_disk, system_error

FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system lets this process write files of 4 kB at most."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_what_the_system_said_to_safetensors_is_known(tmp_path: Path) -> None:
    """It raises no OSError; a limit of the system stands for a full disk here."""
    with pytest.raises(SafetensorError) as caught:
        save_file({"a": torch.zeros(10_000)}, tmp_path / "a.safetensors")
    assert system_error(caught.value) == errno.EFBIG


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), SafetensorError(FULL)],
    ids=["disk", "quota", "safetensors"],
)
def test_it_names_the_folder_and_what_is_left(tmp_path: Path, error: Exception) -> None:
    told = f"No space left on the disk of {tmp_path} at step 4: .*start again; step 2 stays\\."
    with (
        pytest.raises(UserError, match=told),
        naming_full_disk(tmp_path, " at step 4", lambda: "step 2 stays"),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "x"), SafetensorError("bad header"), UserError(FULL)], ids=str
)
def test_other_errors_are_left_alone(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, naming_full_disk(tmp_path):
        raise error
    assert caught.value is error
