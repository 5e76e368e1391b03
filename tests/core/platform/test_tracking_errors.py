"""What a request to the tracking server that failed means, whoever made it."""

import pytest
import requests

from components.core.platform.tracking_errors import explained

SERVER = "http://mlflow:5000"


def failed(url: str, status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    request = requests.Request("PUT", url).prepare()
    return requests.HTTPError("no", response=response, request=request)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses"), (403, "refuses"), (503, "does not answer")]
)
def test_a_file_that_the_server_does_not_take_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    found = explained(failed(f"{SERVER}/api/2.0/mlflow-artifacts/artifacts/1/x.png", status))
    assert found is not None
    assert words in str(found)


@pytest.mark.parametrize(
    ("url", "status"), [(f"{SERVER}/api/2.0/x", 404), ("http://elsewhere:5000/x", 503)]
)
def test_other_failures_are_not_the_servers(
    monkeypatch: pytest.MonkeyPatch, url: str, status: int
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert explained(failed(url, status)) is None
