"""The decorator that makes a function a pipeline task of this project.

Tasks are lightweight Python components: their few lines are stored in the compiled pipeline and
import the stage inside their body. The same definition runs as a subprocess of one machine and as
a container of a cluster, whose image (set when a pipeline is compiled) holds this package.
"""

import functools

from kfp import dsl

DEFAULT_IMAGE = "realmat-python:0.1.0"

stage_component = functools.partial(
    dsl.component, base_image=DEFAULT_IMAGE, install_kfp_package=False
)
