"""The settings, declared once: name, default, unit, meaning. The command line and the run folder derive from these.

Takes: nothing. Gives: `TrainSettings`, which travels to the run folder as `config.json`, and its checks; its part
`Augmentation`; `PlanWish`; `DoctorWish`; `SinksWish`.
Functions elsewhere take the settings they use, never the whole.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from corolla.errors import WishError, nearest
from corolla.types import ClassWeights, OnBadRecord

MOST_IMAGES = 65_536
"""The largest batch that can be wished."""

_RANGES: tuple[tuple[str, float, float], ...] = (
    ("image_size", 16, 2048),
    ("epochs", 0, 10_000),
    ("minutes", 0.1, 100_000),
    ("max_epochs", 0, 10_000),
    ("batch_size", 1, MOST_IMAGES),
    ("train_blocks", -1, 1000),
    ("learning_rate", 0, 1e12),
    ("warmup", 0, 1),
    ("weight_decay", 0, 10),
    ("layer_decay", 0.01, 1),
    ("logit_adjustment", 0, 5),
    ("balanced_sampling", 0, 1),
    ("focal", 0, 10),
    ("label_smoothing", 0, 0.9),
    ("soft_share", 0, 1),
    ("ema", 0, 0.999999),
    ("crop_area", 0.05, 1),
    ("rotate", 0, 30),
    ("shear", 0, 0.3),
    ("zoom", 0, 1),
    ("shift", 0, 0.5),
    ("brightness", 0, 1),
    ("contrast", 0, 1),
    ("saturation", 0, 1),
    ("hue", 0, 0.5),
    ("erase", 0, 1),
    ("grid", 0, 1),
    ("chosen", 0, 10),
    ("mixup", 0, 100),
    ("cutmix", 0, 100),
    ("levels", 1, 100),
    ("dropout", 0, 0.95),
    ("folds", 0, 100),
    ("fold", 0, 99),
    ("seed", 0, 2**32 - 1),
    ("checkpoint_minutes", 0, 100_000),
)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _refuse_kind(field: dataclasses.Field, value: Any) -> None:
    """Raise WishError for a word that is not among the known ones, or a value that is not of the setting's type."""
    kinds: tuple[Any, ...] = get_args(field.type) or (field.type,)  # a Literal's words, a union's types, or the type
    if isinstance(kinds[0], str):
        fits, known = value in kinds, ", ".join(kinds)
    else:
        fits = type(value) in kinds or (float in kinds and type(value) is int)
        known = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    if not fits:
        raise WishError(f"{_option(field.name)} is {value!r}; it must be {known}")


def _refuse_values(settings: Any) -> None:
    """Raise WishError for a value of a wrong kind or out of range."""
    for field in dataclasses.fields(settings):
        _refuse_kind(field, getattr(settings, field.name))
    for name, low, high in _RANGES:
        value = getattr(settings, name, None)
        if value is not None:
            refuse_outside(name, value, low, high)


def refuse_outside(name: str, value: float, low: float, high: float) -> None:
    """Raise WishError where the value of an option does not lie between two numbers."""
    if not low <= value <= high:
        raise WishError(f"{_option(name)} is {value}; it must lie between {low:g} and {high:g}")


@dataclass(frozen=True)
class Augmentation:
    """How far training images may be changed; by default not at all."""

    crop_area: float = 1.0
    """Smallest part of the area that a random crop keeps; 1: no crops."""
    flip: bool = False
    """Mirror half of the images."""
    rotate: float = 0.0
    """Largest angle, to both sides [degrees], below 45."""
    shear: float = 0.0
    """Largest tangent of a slant along the rows, to both sides."""
    zoom: float = 0.0
    """Largest factor, less 1, by which the view is widened beyond the crop."""
    shift: float = 0.0
    """Largest distance that the view moves, to all sides, in sides of the image."""
    brightness: float = 0.0
    """Colours are multiplied by 1 - brightness to 1 + brightness."""
    contrast: float = 0.0
    """Distances from the image's mean grey are multiplied by 1 - contrast to 1 + contrast."""
    saturation: float = 0.0
    """Distances from each pixel's own grey are multiplied by 1 - saturation to 1 + saturation."""
    hue: float = 0.0
    """Largest turn of the hue, to both sides, in whole turns."""
    erase: float = 0.0
    """Part of the images of which a rectangle is blanked out."""
    grid: float = 0.0
    """Part of the images over which a grid of blank squares is laid."""
    chosen: int = 0
    """How many of the changes from `rotate` on an image gets, drawn for each; 0: all of them."""
    mixup: float = 0.0
    """Two images are added up, their shares drawn from a Beta distribution of this parameter (Zhang et al., 2018)."""
    cutmix: float = 0.0
    """A rectangle comes from another image, its area drawn likewise (Yun et al., 2019). With `mixup` too, half each."""

    def __post_init__(self) -> None:
        _refuse_values(self)

    @property
    def mixes(self) -> bool:
        """Whether images come in pairs."""
        return self.mixup > 0 or self.cutmix > 0


CROP_AND_FLIP = Augmentation(crop_area=0.5, flip=True)
"""How images are changed where nothing else is said."""


@dataclass(frozen=True)
class _InTraining(Augmentation):
    """The augmentation with the defaults of training."""

    crop_area: float = CROP_AND_FLIP.crop_area
    """Smallest part of the area that a random crop keeps; 1: no crops."""
    flip: bool = CROP_AND_FLIP.flip
    """Mirror half of the images."""


@dataclass(frozen=True)
class _Model:
    """What to train."""

    model: str = "efficientnet_lite0"
    """Backbone by name (`corolla models`), or hub:PRESET of KerasHub."""
    weights: str = "imagenet"
    """Weights to start from: imagenet (a preset's own), none (random), a file that Keras saved (.keras, .weights.h5),
    or the folder of a finished run of the same model, of any image size: its backbone; the head is solved anew."""


@dataclass(frozen=True)
class _Extent:
    """At which size, and for how long."""

    image_size: int = 224
    """Side of the square images that the model sees [px]; picks the nearest folder of the data."""
    epochs: int = 5
    """Passes over the training split after the probe; 0 is the probe alone."""


@dataclass(frozen=True)
class _Method:
    """How to train, but for the augmentation."""

    minutes: float | None = None
    """Instead of --epochs: time for the whole command [minutes]; epochs are planned from the measured step."""
    max_epochs: int | None = None
    """With --minutes: no more epochs than so many; without, as many as fit."""
    batch_size: int = 32
    """Images a step, over all devices."""
    train_blocks: int | None = None
    """How many of the backbone's last blocks learn; -1 is all, 0 is the head alone. By default all; on a CPU the last
    half, which holds most of the weights and takes the smaller part of the time."""
    batch_norm: Literal["frozen", "batch"] = "frozen"
    """Batch normalisation by the pretrained statistics (frozen), or by each batch's own."""
    learning_rate: float = 3e-4
    """Highest learning rate, after warm-up."""
    warmup: float = 0.1
    """Part of the steps over which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """Decoupled weight decay on kernels."""
    layer_decay: float = 1.0
    """What the learning rate is multiplied by from block to block, from the head down (1: the same everywhere)."""
    logit_adjustment: float = 0.0
    """How far training leans towards rare classes: log-frequencies times this are added to the logits in training
    alone; 1 balances the classes, 0 takes them as they come."""
    class_weights: ClassWeights = "none"
    """What the loss of rare classes counts more by: balanced (all classes the same together), or effective numbers of
    records (Cui et al., 2019)."""
    balanced_sampling: float = 0.0
    """How far rare classes come more often: 1 is as often as the others, 0 is each record once an epoch."""
    focal: float = 0.0
    """Exponent by which records that are known already count less (Lin et al., 2017); 0: all the same."""
    label_smoothing: float = 0.0
    """Share of each target spread over all classes."""
    soft_labels: str | None = None
    """A predictions.npz of a run or of `corolla cross`, or a file of `corolla distill`: records that it names learn
    from its probabilities too (distillation)."""
    soft_share: float = 0.5
    """Share of those probabilities in a record's target; the rest is its label."""
    pseudo: str | None = None
    """A file of `corolla pseudo`: the photos of test that it names teach too, with its labels."""
    ema: float = 0.999
    """Highest momentum of the moving average of the weights, which is what gets scored; 0 turns it off."""
    levels: int = 4
    """How many feature maps the head sees, each by its mean: those at which the backbone's last stages end; 1: the
    last one alone."""
    dropout: float = 0.2
    """Dropout before the head."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the backbone: bfloat16 where the device has it (auto), or as named."""
    resident: Literal["auto", "yes", "no"] = "auto"
    """Keep all pixels on the devices (yes), stream them in chunks (no), or see whether they fit (auto)."""
    loop: Literal["jax", "keras"] = "jax"
    """The training loop: jax is the custom loop, many steps a dispatch; keras is compile and fit, with callbacks."""
    folds: int = 0
    """Train on parts of train and val together: so many folds, of which --fold judges and the others teach
    (`corolla cross` trains them all); 1: both splits teach, the last epoch is kept, and scores on val measure nothing.
    """
    fold: int = 0
    """Which fold judges, from 0."""
    seed: int = 0
    """Seed of the order, the augmentation, dropout and random weights."""
    checkpoint_minutes: float = 2.0
    """Longest time of training that a kill may cost [minutes]."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop with its place (fail), or be left out and counted (skip)."""


@dataclass(frozen=True)
class GrowSettings(_InTraining, _Method, _Model):
    """How to train at each of several sizes: all but the sizes, and the epochs at each."""

    def of_a_size(self) -> "TrainSettings":
        """The same as settings of one run. Raises WishError for what makes no sense together."""
        return TrainSettings(**dataclasses.asdict(self))


@dataclass(frozen=True)
class TrainSettings(_InTraining, _Method, _Extent, _Model):
    """How to train. Two runs with equal settings, data and device kind give equal numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fold >= max(self.folds, 1):
            raise WishError(f"--fold {self.fold} of --folds {self.folds}: folds are counted from 0")


FREE_ON_RESUME = ("resident", "checkpoint_minutes", "minutes")
"""Settings that may differ when a run is taken up again: they move no number of the result."""


_BEFORE = {"levels": 1}
"""Settings that were fixed before they came, where the default is another now."""


def from_dict(stored: dict[str, Any]) -> TrainSettings:
    """Return the settings in `stored`; an unknown name is refused with the nearest known one (WishError).

    What a run from before a setting does not name is as it was then (`_BEFORE`).
    """
    known = [field.name for field in dataclasses.fields(TrainSettings)]
    for name in stored:
        if name not in known:
            raise WishError(f"unknown setting {name!r}{nearest(name, known)}")
    return TrainSettings(**{**_BEFORE, **stored})


def words(settings: TrainSettings, left_out: tuple[str, ...] = ()) -> list[str]:
    """Return the settings that differ from the defaults as words of the command line."""
    found: list[str] = []
    for field in dataclasses.fields(TrainSettings):
        value = getattr(settings, field.name)
        if value == field.default or field.name in left_out:
            continue
        option = _option(field.name)
        flag = option if value else option.replace("--", "--no-", 1)
        found += [flag] if isinstance(value, bool) else [option, str(value)]
    return found


def differences(old: TrainSettings, new: TrainSettings) -> list[str]:
    """Return one text a setting that differs and moves numbers, such as "batch_size was 32, is 64"."""
    return [
        f"{field.name} was {getattr(old, field.name)}, is {getattr(new, field.name)}"
        for field in dataclasses.fields(TrainSettings)
        if field.name not in FREE_ON_RESUME and getattr(old, field.name) != getattr(new, field.name)
    ]


@dataclass(frozen=True)
class PlanWish:
    """What `corolla plan` is asked."""

    topology: str | None = None
    """TPUs that need not be there: v3-8, v5e:2x4, v5e:16x16, v4, v5p, v6e ...; without, the devices at hand."""
    model: str = "efficientnet_lite0"
    """Backbone by name (`corolla models`), or hub:PRESET of KerasHub."""
    image_size: int = 224
    """Side of the images that the model sees [px]."""
    data_size: int | None = None
    """Side of the images in the records [px]; by default as the model sees them."""
    batch_size: int | None = None
    """Images a step, over all devices; by default 128 a chip (32 on a CPU)."""
    train_blocks: int = -1
    """How many of the backbone's last blocks learn; -1 is all, 0 is the head alone."""
    levels: int = 4
    """How many feature maps the head sees, as of `corolla train`."""
    batch_norm: Literal["frozen", "batch"] = "frozen"
    """Batch normalisation by the pretrained statistics (frozen), or by each batch's own."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the backbone: bfloat16 where the device has it (auto), or as named."""
    train_records: int = 12_753
    """Records of the training split; the competition's by default."""
    val_records: int = 3_712
    """Records of the validation split; the competition's by default."""
    schedule: bool = False
    """Count the instructions that the compiler has scheduled for the train step (TPUs); takes twice as long."""
    search: bool = False
    """Compile the train step for larger batches too, to find the largest that fits; takes a few times as long."""


@dataclass(frozen=True)
class BuildWish:
    """How `corolla build` makes a data set."""

    sizes: tuple[int, ...] = (224,)
    """Sides of the square images [px], several in one pass: 192 224 331 512."""
    fit: Literal["crop", "pad"] = "crop"
    """How a photo becomes a square: its largest one (crop; around the box, where the source has one), or all of it on
    gray (pad)."""
    resample: Literal["lanczos", "area"] = "lanczos"
    """How it is scaled."""
    quality: int = 95
    """Quality of the JPEGs, 1 to 100. A JPEG that is a square of a wanted size already stays as it is."""
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of train, val and test."""
    published_splits: bool = False
    """Photos of which their source says the split stay there; only the others are dealt out by --split."""
    together: Literal["twins", "copies"] = "twins"
    """What stays in one split: photos that `corolla audit` would call twins, or only files of the same bytes."""
    seed: int = 0
    """Same seed and photos, same bytes."""
    max_bad: str = "1%"
    """Share of damaged photos that is put up with."""
    threads: int | None = None
    """Threads of the local runner; by default one a core."""
    runner: Literal["local", "beam"] = "local"
    """Who does the work: this machine, or Apache Beam."""
    beam_options: str = ""
    """Options for Beam, as --beam-options="--runner=FlinkRunner --parallelism=8"."""


@dataclass(frozen=True)
class HostsWish:
    """How a command is one of several processes, one a host, that do one work together."""

    distributed: bool = False
    """Be one process of several, each on its own host; whose they are, the cluster tells (SLURM, GKE, Cloud TPU)."""
    coordinator: str | None = None
    """Where no cluster tells: HOST:PORT of process 0."""
    process_count: int | None = None
    """Where no cluster tells: number of processes."""
    process_index: int | None = None
    """Where no cluster tells: which of them this is, from 0."""
    heartbeat: int = 60
    """A process that has not been heard of for so long ends the run [s]."""


@dataclass(frozen=True)
class SinksWish:
    """Where the lines of metrics.jsonl go besides; none of it moves a number, and none that fails stops a run."""

    tensorboard: bool = False
    """Write TensorBoard's events into RUN/tensorboard."""
    wandb: str | None = None
    """Project of Weights & Biases; WANDB_MODE=offline keeps it on the disk."""
    mlflow: str | None = None
    """Where MLflow keeps runs: http://HOST:PORT of its server, or sqlite:///FILE (wants the whole of mlflow)."""


@dataclass(frozen=True)
class DoctorWish:
    """What `corolla doctor` is asked: which run to foretell."""

    model: str = "efficientnet_lite0"
    """Backbone by name (`corolla models`), or hub:PRESET of KerasHub."""
    image_size: int = 224
    """Side of the square images that the model sees [px]; picks the nearest folder of the data."""
    batch_size: int = 32
    """Images a step, over all devices."""
    epochs: int = 5
    """Passes over the training split of the run that is foretold."""
    train_blocks: int | None = None
    """How many of the backbone's last blocks learn; as `corolla train` does by default."""
    train_records: int = 12_753
    """Where no data are given: records of the training split; the competition's by default."""
    val_records: int = 3_712
    """Where no data are given: records of the validation split; the competition's by default."""

    def settings(self) -> TrainSettings:
        """Those of the run; random weights, for they are as fast. Raises WishError for what is out of range."""
        return TrainSettings(
            model=self.model,
            weights="none",
            image_size=self.image_size,
            batch_size=self.batch_size,
            epochs=self.epochs,
            train_blocks=self.train_blocks,
        )


@dataclass(frozen=True)
class ServeLimits:
    """What a stranger may ask of `corolla serve`; docs/serve.md says what the worst case costs."""

    max_megabytes: float = 20
    """Largest body of a request [MB]."""
    max_megapixels: float = 50
    """Largest photo [millions of pixels], by its header; decoding one takes up to 12 bytes a pixel."""
    max_photos: int = 32
    """Photos in one request."""
    max_waiting: int = 256
    """Photos that wait for their answer; more are answered with 503."""
    max_client_waiting: int = 128
    """The same of one address; more are answered with 429."""
    upload_seconds: float = 30
    """Time that a body may take to arrive; then 408."""
    answer_seconds: float = 60
    """Time that an answer may take; then 503."""
    max_connections: int = 1_000
    """Connections at a time."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise WishError(f"--{name.replace('_', '-')} {value}: must be more than 0")

    @property
    def body_bytes(self) -> int:
        """Largest body."""
        return int(self.max_megabytes * 1e6)

    @property
    def upload_bytes(self) -> int:
        """Bodies that are held at a time, in all."""
        return max(256_000_000, 2 * self.body_bytes)
