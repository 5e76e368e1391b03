"""A recipe's pipeline on Kubeflow Pipelines: uploaded once, started, scheduled, watched."""

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.platform.artifacts import hash_text
from pipelines.authentication import Credentials, token_source
from pipelines.realmat import NAME
from pipelines.recipe import Recipe
from pipelines.run_states import states_by_task

EXPERIMENT = "realmat"
SECONDS_BETWEEN_POLLS = 10.0
PATIENCE = 600.0  # seconds for which a service that does not answer is asked again while waiting
ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "ERROR"}


class Service:
    """One Kubeflow Pipelines, through its own client."""

    def __init__(
        self, host: str, credentials: Credentials, namespace: str = "", certificate: str = ""
    ) -> None:
        from kfp.client import Client
        from kfp.client.token_credentials_base import TokenCredentialsBase

        source = token_source(credentials)
        self.host = host.rstrip("/")
        self.namespace = namespace or None

        class Signed(TokenCredentialsBase):
            """Asks for the token at every request, for it may have been renewed."""

            def refresh_api_key_hook(self, config: Any) -> None:
                config.api_key["authorization"] = self.get_token()

            def get_token(self) -> str:
                assert source is not None
                return source()

        self._probe(source, certificate)
        with self._sentences():
            self.client = Client(
                host=self.host,
                namespace=namespace or "kubeflow",
                credentials=Signed() if source else None,
                ssl_ca_cert=certificate or None,
            )

    def _probe(self, source: Callable[[], str] | None, certificate: str) -> None:
        """Asks once whether this is Kubeflow and lets us in; its client asks for half a minute."""
        import requests
        from kfp_server_api import ApiException

        headers = {"Authorization": f"Bearer {source()}"} if source else {}
        with self._sentences():
            answer = requests.get(
                f"{self.host}/apis/v2beta1/healthz", headers=headers, timeout=30,
                verify=certificate or True,
            )  # fmt: skip
            if answer.status_code != 200:
                raise ApiException(status=answer.status_code, reason=answer.reason)

    def upload(self, recipe: Recipe, pipeline: Path) -> tuple[str, str]:
        """Ids of the pipeline and of the version with this file, uploaded unless it is there."""
        version = f"{recipe.name}-{hash_text(pipeline.read_text())[:12]}"
        with self._sentences():
            found = self._known_pipeline()
            if found is None:
                made = self.client.upload_pipeline(
                    str(pipeline), pipeline_name=NAME, namespace=self.namespace
                )
                found = made.pipeline_id
            for known in self._versions(found):
                if known.display_name == version:
                    return found, known.pipeline_version_id
            uploaded = self.client.upload_pipeline_version(
                str(pipeline), pipeline_version_name=version, pipeline_id=found
            )
            return found, uploaded.pipeline_version_id

    def _known_pipeline(self) -> str | None:
        """The id of our pipeline in the namespace; the client's own search knows shared ones only.

        Where Kubeflow has one user, the service leaves the namespace out of account.
        """
        named = {"operation": "EQUALS", "key": "display_name", "stringValue": NAME}
        page = self.client.list_pipelines(
            namespace=self.namespace, filter=json.dumps({"predicates": [named]})
        )
        return page.pipelines[0].pipeline_id if page.pipelines else None

    def _versions(self, pipeline: str) -> Iterator[Any]:
        token = ""
        while True:
            page = self.client.list_pipeline_versions(pipeline, page_token=token, page_size=100)
            yield from page.pipeline_versions or []
            token = page.next_page_token or ""
            if not token:
                return

    def start(
        self, recipe: Recipe, pipeline: tuple[str, str], arguments: Mapping[str, str]
    ) -> dict[str, Any]:
        """Starts a run of an uploaded version; returns its id and the page that shows it."""
        with self._sentences():
            run = self.client.run_pipeline(
                experiment_id=self._experiment(),
                job_name=f"{recipe.name} recipe",
                params=dict(arguments),
                pipeline_id=pipeline[0],
                version_id=pipeline[1],
                enable_caching=False,
                service_account=recipe.cluster.service_account,
            )
        return {"run": run.run_id, "link": f"{self.host}/#/runs/details/{run.run_id}"}

    def schedule(
        self, recipe: Recipe, pipeline: tuple[str, str], arguments: Mapping[str, str], cron: str
    ) -> dict[str, Any]:
        """Starts a run whenever `cron` says, one at a time; missed ones are not made up for."""
        with self._sentences():
            made = self.client.create_recurring_run(
                experiment_id=self._experiment(),
                job_name=f"{recipe.name} recipe",
                cron_expression=six_fields(cron),
                max_concurrency=1,
                no_catchup=True,
                params=dict(arguments),
                pipeline_id=pipeline[0],
                version_id=pipeline[1],
                enable_caching=False,
                service_account=recipe.cluster.service_account,
            )
        number = made.recurring_run_id
        return {"recurring_run": number, "link": f"{self.host}/#/recurringrun/details/{number}"}

    def wait(
        self, run: str, show: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> str:
        """Shows each stage's state when it changes; returns the run's last state.

        A service that is away for some minutes, as when it is upgraded, is asked again.
        """
        seen: dict[str, str] = {}
        silent = 0.0
        while True:
            try:
                with self._sentences():
                    found = self.client.get_run(run)
                silent = 0.0
            except UserError:
                silent += SECONDS_BETWEEN_POLLS
                if silent > PATIENCE:
                    raise
                sleep(SECONDS_BETWEEN_POLLS)
                continue
            details = found.run_details.task_details if found.run_details else None
            states = states_by_task(details or [])
            for name, state in states.items():
                if seen.get(name) != state:
                    show(f"{name}: {state}")
            seen |= states
            if str(found.state).upper() in ENDED:
                return str(found.state).upper()
            sleep(SECONDS_BETWEEN_POLLS)

    def _experiment(self) -> str:
        made = self.client.create_experiment(EXPERIMENT, namespace=self.namespace)
        return str(made.experiment_id)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """Says what went wrong in a sentence; what the client prints goes to standard error."""
        import kfp_server_api
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        logging.disable(logging.ERROR)  # it logs tracebacks, and we say what they mean
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except kfp_server_api.ApiException as error:
            if error.status in (401, 403):
                raise UserError(
                    f"{self.host} refuses ({error.status} {error.reason}): sign in by --token-file "
                    "or --oidc-issuer, with an account that may start pipelines in the namespace."
                ) from error
            if error.status == 409:
                raise UserError(
                    f"{self.host} has something of the same name that this account does not see "
                    f"(409 {error.reason}): give the --namespace that it is in, or remove it there."
                ) from error
            raise UserError(
                f"{self.host} answers {error.status} {error.reason}: check --host, which is the "
                "address of Kubeflow Pipelines."
            ) from error
        except (HTTPError, RequestException, ConnectionError, TimeoutError) as error:
            raise UserError(
                f"{self.host} does not answer: check --host ({_first_line(error)})."
            ) from error
        finally:
            logging.disable(logging.NOTSET)


def six_fields(cron: str) -> str:
    """A schedule in Kubeflow's notation, whose first field is seconds; five fields get a zero."""
    fields = cron.split()
    valid = all(re.fullmatch(r"[\d*/,\-?A-Za-z]+", field) for field in fields)
    if len(fields) not in (5, 6) or not valid:
        raise UserError(
            f"--cron '{cron}' is no schedule: give five fields (minute, hour, day, month, weekday) "
            "such as '0 3 * * 1', or six with the seconds first."
        )
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
