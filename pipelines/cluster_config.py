"""What a recipe says of the cluster: images, requests, what is mounted. Ignored on one machine."""

from typing import Literal

from pydantic import BaseModel, Field


class Toleration(BaseModel, frozen=True, extra="forbid"):
    """A taint that a stage's pod accepts."""

    key: str = Field(min_length=1, description="Key of the taint.")
    operator: Literal["Equal", "Exists"] = Field("Exists", description="How value is compared.")
    value: str = Field("", description="Value of the taint, with the operator Equal.")
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = Field(
        "NoSchedule", description="Effect of the taint."
    )


class Resources(BaseModel, frozen=True, extra="forbid"):
    """What one stage asks of a cluster; ignored on one machine."""

    cpu: str = Field("2", description="CPU request and limit, in Kubernetes' notation.")
    memory: str = Field("8Gi", description="Memory request and limit.")
    gpus: int = Field(0, ge=0, description="GPUs of one pod.")
    shared_memory: str = Field(
        "", description="Size of /dev/shm, taken from the memory; '' leaves the container's 64 MB."
    )
    retries: int = Field(0, ge=0, le=100, description="New attempts after a failure.")
    hours: float = Field(0, ge=0, description="Time after which the pod is ended; 0: none.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Labels that the node must have."
    )
    tolerations: tuple[Toleration, ...] = Field(
        (),
        description="Taints that the pod accepts; with GPUs, that of the accelerator's name too.",
    )


class Cluster(BaseModel, frozen=True, extra="forbid"):
    """Where stages run on a cluster; the names are those of manifests/."""

    image: str = Field(
        "realmat-pipeline:0.1.0", min_length=1, description="Image of the stages without GPU."
    )
    training_image: str = Field(
        "", description="Image of the stages with GPUs; '' is the same. Pin both by digest."
    )
    accelerator: str = Field("nvidia.com/gpu", description="Resource name of the GPUs.")
    service_account: str = Field(
        "realmat-pipeline", description="Service account of the pipeline's pods."
    )
    config_map: str = Field(
        "realmat-pipeline", description="ConfigMap with the environment of the stages."
    )
    settings: tuple[str, ...] = Field(
        (
            "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE",
            "DO_NOT_TRACK", "HF_HOME", "HF_HUB_DISABLE_TELEMETRY", "LABEL_STUDIO_S3_PRESIGN",
            "LABEL_STUDIO_URL", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
            "MLFLOW_TRACKING_URI", "REALMAT_ARCHIVE", "REALMAT_STORE", "XDG_CACHE_HOME",
        ),
        description="Its keys that become environment variables.",
    )  # fmt: skip
    secret: str = Field(
        "pipeline-secrets", description="Secret with the credentials of the stages."
    )
    credentials: tuple[str, ...] = Field(
        (
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "LABEL_STUDIO_API_KEY",
            "LABEL_STUDIO_S3_ACCESS_KEY_ID", "LABEL_STUDIO_S3_SECRET_ACCESS_KEY",
            "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME",
        ),
        description="Its keys that become environment variables; a missing one stays unset.",
    )  # fmt: skip
    volume: str = Field(
        "realmat-store",
        description="Claim (ReadWriteMany) with checkpoints and finished stages; '' mounts none.",
    )
    mount: str = Field("/store", description="Where the claim is mounted.")
    pod_user: int = Field(10001, ge=1, description="User and group of the pods; never root.")
    resources: dict[str, Resources] = Field(
        default_factory=dict, description="Requests by stage; other stages take the defaults."
    )

    nodes: dict[str, Resources] = Field(
        default_factory=dict,
        description="By stage, what each node asks for where a stage trains on several.",
    )
    node_storage: str = Field(
        "200Gi",
        min_length=1,
        description="Local disk of each such node; of other pods, the namespace's LimitRange says.",
    )
    runtime: str = Field(
        "realmat-torch", description="Training runtime of stages that train on several nodes."
    )

    def image_of(self, resources: Resources) -> str:
        """The image of a stage that asks for these resources."""
        return self.training_image if resources.gpus and self.training_image else self.image
