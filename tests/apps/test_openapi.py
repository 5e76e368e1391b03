"""Whatever the OpenAPI description allows, and what it does not, never breaks the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from apps.materials.champion import Champion
from apps.materials.studio import Studio
from apps.server import Study, create_app
from apps.study.place import Place
from tests.apps.studies import make_study
from tests.apps.studios import FakeGenerator, served
from tests.evaluation.micro import FlatRenderer, environments

EXAMPLES = 15


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def description(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The description of a running server with a study and a demo, whose queue is real."""
    folder = tmp_path_factory.mktemp("openapi")
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create("openapi")
    place = Place(folder / "study", url)
    database = place.database()
    make_study(database, place.media)
    studio = Studio.open(
        Champion(FakeGenerator()), FlatRenderer(), environments(), folder / "materials"
    )
    app = create_app(studio, Study(database, place, place.key(), "owner"), rate=100_000)
    with served(app) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")
    database.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_breaks_the_server(description: Any, mode: GenerationMode) -> None:
    checked = 0
    for found in description.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # any text is a path or a header

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def breaks_nothing(case: schemathesis.Case) -> None:
            if "wait" in (case.query or {}):
                case.query["wait"] = 0
            case.call_and_validate(checks=[not_a_server_error])

        breaks_nothing()
        checked += 1
    assert checked >= 4


def test_every_route_says_what_it_does(description: Any) -> None:
    operations = [operation.ok() for operation in description.get_all_operations()]
    assert len(operations) > 15
    assert all(operation.definition.raw.get("description") for operation in operations)
