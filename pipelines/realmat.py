"""The RealMat pipeline: from materials and photographs to a registered text-to-material model.

One definition runs on one machine (`pipelines/local.py`) and on Kubeflow Pipelines
(`pipelines/cluster.py`). It names the stages and what flows between them, and nothing else: every
setting comes from the recipe. The order is the paper's (sections 4 and 5).
"""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.annotation_sync.component import annotation_sync
from components.core.platform.aliases import CANDIDATE, CHAMPION
from components.ddpo_lora.component import ddpo_lora
from components.evaluation.component import evaluation
from components.material_sampling.component import material_sampling
from components.photo_embedding.component import photo_embedding
from components.photo_retrieval.component import photo_retrieval
from components.promotion_gate.component import promotion_gate
from components.prompt_selection.component import prompt_selection
from components.realism_labels.component import realism_labels
from components.registration.component import registration
from components.reward_training.component import reward_training
from components.sdxl_finetune.component import sdxl_finetune
from components.synthetic_data.component import synthetic_data
from pipelines.parent_run import close_run, open_run
from pipelines.placement import place
from pipelines.recipe import Recipe

NAME = "realmat"


def pipeline_of(recipe: Recipe) -> Any:
    """Returns the pipeline with a recipe's settings, ready to be compiled."""

    @dsl.pipeline(name=NAME, description=recipe.description or None)
    def realmat(
        photos: str = "",
        examples: str = "",
        environments: str = recipe.shared.environments,
        materials: str = "",
        labels: str = "",
        preferences: str = "",
        parent_run: str = "",
    ) -> None:
        """From materials and photographs to a registered text-to-material model.

        1. Vary materials and pack their maps into 2×2 grids with captions.
        2. Fine-tune SDXL on the grids: it now makes materials, somewhat synthetic ones.
        3. Sample such materials and render them under random natural light.
        4. Meanwhile, embed a photo database, part by part, and search it for materials.
        5. Have people judge some images of both sets for realism.
        6. Train one linear classifier for each set and label the rest with it.
        7. Train the realism reward on these labels.
        8. Keep the prompts that the model renders least realistically.
        9. Raise the reward on these prompts by reinforcement learning.
        10. Compare before and after on prompts that were never trained on.
        11. Judge the comparison: the promotion gate.
        12. Register the model: as champion if it passed the gate, as candidate if not.

        Args:
            photos: folder of photographs, or several with commas between them; "" is the database
                that the project renders itself.
            examples: folder of example photographs by category; "" is none.
            environments: folder of environment maps, or the address of a catalogue, or several;
                "" is the embedded lights.
            materials: folder of material sets, or the address of a catalogue, or several with
                commas between them; "" is the procedural library alone.
            labels: address of a Label Studio project; "" is what the recipe says.
            preferences: table of preferences between images; "" is none.
            parent_run: MLflow run of this pipeline, below which each stage opens its own; "" opens
                one.
        """
        opened = open_run(given=parent_run, recipe=recipe.name, settings=recipe.model_dump_json())
        _uncached(opened, recipe, "open_run")
        add, run = _adder(recipe, opened.output), _runner(recipe, opened.output)
        parts = list(range(recipe.synthetic_data.parts))
        with dsl.ParallelFor(items=parts) as part:
            shards = run(synthetic_data, part=part, materials=materials, environments=environments)
        model = run(sdxl_finetune, dataset=dsl.Collected(shards))
        generated = run(material_sampling, model=model, environments=environments)
        with dsl.ParallelFor(items=list(range(recipe.photo_embedding.parts))) as part:
            features = run(photo_embedding, part=part, photos=photos, environments=environments)
        photographs = run(photo_retrieval, features=dsl.Collected(features), examples=examples)
        annotations = run(
            annotation_sync, labels=labels, photographs=photographs, generated=generated
        )
        spread = run(
            realism_labels, photographs=photographs, generated=generated, annotations=annotations
        )
        reward = run(
            reward_training,
            photographs=photographs,
            generated=generated,
            labels=spread,
            preferences=preferences,
        )
        prompts = run(prompt_selection, model=model, reward=reward, environments=environments)
        lora = run(
            ddpo_lora, model=model, reward=reward, prompts=prompts, environments=environments
        )
        measured = run(
            evaluation,
            model=model,
            lora=lora,
            reward=reward,
            prompts=prompts,
            photographs=photographs,
            dataset=dsl.Collected(shards),
            environments=environments,
        )
        gate = add(promotion_gate, evaluation=measured, name=recipe.registration.name)

        def register(alias: str) -> Any:
            return add(
                registration,
                model=model,
                lora=lora,
                reward=reward,
                evaluation=measured,
                gate=gate.outputs["gate"],
                alias=alias,
            ).outputs["Output"]

        # kfp.local needs the Else: an If alone never runs there. Nor does it pass on an artifact
        # of two branches, so what was registered comes as a text.
        with dsl.If(gate.outputs["Output"] == CHAMPION, name="passed"):
            champion = register(CHAMPION)
        with dsl.Else(name="not-passed"):
            candidate = register(CANDIDATE)
        registered = dsl.OneOf(champion, candidate)
        closed = close_run(
            given=parent_run,
            run=opened.output,
            recipe=recipe.name,
            settings=recipe.model_dump_json(),
            photos=photos,
            environments=environments,
            materials=materials,
            synthetic_data=dsl.Collected(shards),
            sdxl_finetune=model,
            material_sampling=generated,
            photo_embedding=dsl.Collected(features),
            photo_retrieval=photographs,
            annotation_sync=annotations,
            realism_labels=spread,
            reward_training=reward,
            prompt_selection=prompts,
            ddpo_lora=lora,
            evaluation=measured,
            promotion_gate=gate.outputs["gate"],
            registration=registered,
        )
        _uncached(closed, recipe, "close_run")

    return realmat


def _adder(recipe: Recipe, parent_run: Any) -> Callable[..., Any]:
    """Returns a function that adds one stage's task."""

    def add(component: Any, **inputs: Any) -> Any:
        stage = component.name.replace("-", "_")
        task = component(config=recipe.section(stage), parent_run=parent_run, **inputs)
        _uncached(task, recipe, stage)
        return task

    return add


def _runner(recipe: Recipe, parent_run: Any) -> Callable[..., Any]:
    """Returns a function that adds one stage's task and gives back the artifact it writes."""
    add = _adder(recipe, parent_run)

    def run(component: Any, **inputs: Any) -> Any:
        return add(component, **inputs).output

    return run


def _uncached(task: Any, recipe: Recipe, name: str) -> None:
    task.set_display_name(name)
    # The stage's own store knows code and content; Kubeflow's cache knows neither.
    task.set_caching_options(enable_caching=False)
    place(task, recipe.cluster, name)
