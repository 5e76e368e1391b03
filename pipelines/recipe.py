"""A recipe: every setting of a pipeline run, read from one TOML file.

A recipe has one section for each stage, which is that stage's own `Config`, and a `[shared]`
table whose keys are merged into every section that knows them, so that all stages render alike
and draw from one seed. Recipes differ in data only: the same pipeline runs all of them.
"""

import difflib
import json
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from components.annotation_sync.config import Config as AnnotationSync
from components.core.errors import UserError
from components.core.platform.config_types import Rendering
from components.core.platform.seeds import derive_seed
from components.ddpo_lora.config import Config as DdpoLora
from components.evaluation.config import Config as Evaluation
from components.material_sampling.config import Config as MaterialSampling
from components.photo_embedding.config import Config as PhotoEmbedding
from components.photo_retrieval.config import Config as PhotoRetrieval
from components.promotion_gate.config import Config as PromotionGate
from components.prompt_selection.config import Config as PromptSelection
from components.realism_labels.config import Config as RealismLabels
from components.registration.config import Config as Registration
from components.reward_training.config import Config as RewardTraining
from components.sdxl_finetune.config import Config as SdxlFinetune
from components.synthetic_data.config import Config as SyntheticData
from pipelines.cluster_config import Cluster

RECIPES = Path(__file__).parent / "recipes"
Json = dict[str, Any]


class Shared(BaseModel, frozen=True, extra="forbid"):
    """Settings merged into every stage's section that has a key of that name."""

    seed: int = Field(0, ge=0, description="Each stage derives its own seed from this one.")
    rendering: Rendering = Field(
        default_factory=Rendering, description="How materials are rendered for features and scores."
    )
    clip: str = Field("small", description="CLIP model whose features carry realism.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    environments: str = Field(
        "", description="Lights where a run is given none; empty: the embedded ones."
    )


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """All settings of one run; the stages' sections are in the order of the pipeline."""

    name: str = Field(min_length=1, description="Name of the recipe, used for the run's folder.")
    description: str = Field("", description="What the recipe is for.")
    shared: Shared = Field(default_factory=Shared, description="Merged into the stages' sections.")
    cluster: Cluster = Field(default_factory=Cluster, description="Where stages run on a cluster.")
    synthetic_data: SyntheticData = Field(default_factory=SyntheticData)
    sdxl_finetune: SdxlFinetune = Field(default_factory=SdxlFinetune)
    material_sampling: MaterialSampling = Field(default_factory=MaterialSampling)
    photo_embedding: PhotoEmbedding = Field(default_factory=PhotoEmbedding)
    photo_retrieval: PhotoRetrieval = Field(default_factory=PhotoRetrieval)
    annotation_sync: AnnotationSync = Field(default_factory=AnnotationSync)
    realism_labels: RealismLabels = Field(default_factory=RealismLabels)
    reward_training: RewardTraining = Field(default_factory=RewardTraining)
    prompt_selection: PromptSelection = Field(default_factory=PromptSelection)
    ddpo_lora: DdpoLora = Field(default_factory=DdpoLora)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    promotion_gate: PromotionGate = Field(default_factory=PromotionGate)
    registration: Registration = Field(default_factory=Registration)

    def section(self, stage: str) -> str:
        """Returns a stage's section as the JSON text that its pipeline task receives."""
        config: BaseModel = getattr(self, stage)
        return config.model_dump_json()


STAGES = tuple(
    name for name in Recipe.model_fields if name not in ("name", "description", "shared", "cluster")
)

TASKS = (*STAGES, "open_run", "close_run")
"""The pipeline's tasks: the stages, and those that open and close the run in MLflow."""


def names() -> list[str]:
    """Returns the names of the recipes that come with the program."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(recipe: str, settings: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of a name or path, changed by `stage.key=value` settings."""
    path = Path(recipe) if recipe.endswith(".toml") or "/" in recipe else RECIPES / f"{recipe}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(
            f"There is no recipe '{recipe}'{_closest(recipe, names())}: give one of "
            f"{', '.join(names())} or the path of a .toml file."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a TOML file.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML ({error}): mend that line.") from error
    for setting in settings:
        _apply(values, setting)
    return build_recipe(values, source=str(path))


def build_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Returns the recipe of plain values; `source` names the file in the sentences of errors."""
    values = {"name": Path(source).stem, **values}
    for problem in _unknown_keys(values, Recipe):
        raise UserError(f"{source}: {problem}")
    try:
        shared = Shared.model_validate(values.get("shared", {}))
        recipe = Recipe.model_validate(_merged(values, shared))
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error, values)}") from error
    for table, known in (("resources", TASKS), ("nodes", STAGES)):
        for stage in getattr(recipe.cluster, table):
            if stage not in known:
                raise UserError(
                    f"{source}: cluster.{table}.{stage} names no stage"
                    f"{_closest(stage, known)}: use the name of a stage."
                )
    return recipe


def _merged(values: Mapping[str, Any], shared: Shared) -> Json:
    """Returns the values with the shared keys put into every section that has them."""
    merged = dict(values)
    common = shared.model_dump(exclude_unset=True)
    for stage in STAGES:
        fields = Recipe.model_fields[stage].annotation
        assert isinstance(fields, type)
        assert issubclass(fields, BaseModel)
        given = values.get(stage, {})
        if not isinstance(given, Mapping):
            continue  # validation will name it
        own = dict(given)
        for key, value in {**common, "seed": derive_seed(shared.seed, stage)}.items():
            if key not in fields.model_fields:
                continue
            if isinstance(value, dict) and isinstance(own.get(key, {}), dict):
                own[key] = {**value, **own.get(key, {})}
            else:
                own.setdefault(key, value)
        merged[stage] = own
    return merged


def _apply(values: Json, setting: str) -> None:
    """Writes one `stage.key=value` into the values; the value is TOML, or else a plain text."""
    name, sign, text = setting.partition("=")
    keys = name.strip().split(".")
    if not sign or not all(keys):
        raise UserError(f"--set {setting} is not of the form stage.key=value: write it so.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table: Any = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {setting}: '{key}' is a value, not a section: shorten the key.")
    table[keys[-1]] = value


def _unknown_keys(values: Any, model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields a sentence for every key unknown to the model, with the closest one that it has."""
    if not isinstance(values, Mapping):
        return
    valid = model.model_fields
    for key, value in values.items():
        if key not in valid:
            known = [f"{prefix}{name}" for name in valid]
            hint = _closest(f"{prefix}{key}", known) or f"; it has {', '.join(valid)}"
            yield f"there is no key '{prefix}{key}'{hint}: correct or remove it."
        else:
            inner = _model_in(valid[key].annotation)
            if inner is not None:
                yield from _unknown_keys(value, inner, f"{prefix}{key}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        found = [_model_in(part) for part in get_args(annotation)]
        models = [model for model in found if model is not None]
        return models[0] if len(models) == 1 else None
    return None


def _sentence(error: ValidationError, values: Mapping[str, Any]) -> str:
    """Returns the first problem as one sentence with the key's full name and its value."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if len(problem["loc"]) == 1 and isinstance(problem["input"], Mapping):
        given = ""
    else:
        given = f" (given: {json.dumps(problem['input'], default=str)[:80]})"
    if problem["type"] == "value_error":
        message = str(problem["ctx"]["error"])
    else:
        message = problem["msg"][:1].lower() + problem["msg"][1:]
    return f"{key}: {message}{given}: correct this value."


def _closest(name: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""
