"""Classifiers: timm models by name, for one-channel images, from scratch or with pretrained weights."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

from fetalkit.classifiers import pretrained
from fetalkit.utils import imagenet
from fetalkit.utils.errors import FetalkitError

# Inputs in [0, 1] are centred and scaled by constants, the same for real and synthetic images of every cohort.
MEAN, STD = 0.25, 0.25


class Normalised(nn.Module):
    """A network that takes grey images in [0, 1].

    Parameters
    ----------
    network
        A timm model for one channel.
    mean, std
        What it expects its inputs to be standardised by.
    input_size
        Side in px that images are resized to first (bilinear); None leaves them as they are.
    """

    def __init__(self, network: nn.Module, mean: float = MEAN, std: float = STD, input_size: int | None = None):
        super().__init__()
        self.network: Any = network  # what a timm model has beside the methods of a Module is not in its type
        self.mean, self.std, self.input_size = mean, std, input_size

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """What the network sees of float images (batch, 1, height, width) in [0, 1]."""
        if self.input_size and images.shape[-1] != self.input_size:
            side = (self.input_size, self.input_size)
            images = functional.interpolate(images, side, mode="bilinear", align_corners=False)
        return (images - self.mean) / self.std

    @property
    def n_features(self) -> int:
        """Number of the features of an image."""
        return sum(pretrained.last_layer(head).weight.shape[1] for head in pretrained.heads(self.network))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer sees (batch, features) of float images (batch, 1, height, width) in [0, 1].

        A distilled network has two last layers; then it is what the one sees and, after it, what the other sees.
        """
        maps, heads = self.network.forward_features(self.prepare(images)), pretrained.heads(self.network)
        if len(heads) == 1:
            return self.network.forward_head(maps, pre_logits=True)
        seen: list[torch.Tensor] = []
        hooks = [head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for head in heads]
        try:
            self.network.forward_head(maps)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat(seen, dim=1)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of `features`; of two last layers the mean, as the network itself takes it."""
        heads = pretrained.heads(self.network)
        if len(heads) == 1:
            return heads[0](features)
        parts = features.chunk(len(heads), dim=1)
        return torch.stack([head(part) for head, part in zip(heads, parts, strict=True)]).mean(dim=0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of float images (batch, 1, height, width) in [0, 1]."""
        return self.network(self.prepare(images))


def create(
    model: str,
    arguments: Mapping[str, Any],
    n_classes: int,
    size: int,
    seed: int,
    *,
    weights: bool = False,
    input_size: int | None = None,
) -> Normalised:
    """Classifier whose random weights follow from `seed`.

    Parameters
    ----------
    model
        Name of a timm model.
    arguments
        Further arguments of ``timm.create_model``, e.g. ``{"depth": 6}``.
    n_classes
        Number of planes.
    size
        Side of the images in px; passed to models that need to know it.
    seed
        All arms of a classifier, k and seed begin with the same weights.
    weights
        Begin with pretrained weights, all but the last layer. Those of ``tf_efficientnet_lite0`` come with a Python package
        (`fetalkit.classifiers.pretrained`), those of other models from where timm fetches them.
    input_size
        Side in px that images are resized to inside the network; None is `size`.

    Raises
    ------
    FetalkitError
        When timm has no such model, refuses the arguments, or cannot fetch the weights.
    """
    _check_name(model, weights)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            network = _network(model, arguments, n_classes, input_size or size, weights)
        except (TypeError, ValueError, RuntimeError, AssertionError, OSError) as error:
            raise _refused(model, arguments, error) from error
    if not weights:
        return Normalised(network, input_size=input_size)
    known: Any = network.pretrained_cfg
    # The colours of a grey image are equal, and so is here what they are standardised by.
    mean, std = (float(torch.tensor(known[key]).mean()) for key in ("mean", "std"))
    return Normalised(network.train(), mean, std, input_size)


def check(model: str, arguments: Mapping[str, Any], weights: bool = False, *, size: int | None = None) -> None:
    """Refuse a name or arguments that timm will refuse; takes milliseconds, and no memory for weights.

    Parameters
    ----------
    model, arguments, weights
        As for `create`.
    size
        Side of the images in px, or that of ``input_size``; by default the model's own.

    Raises
    ------
    FetalkitError
        When timm has no such model, or no weights for it, or refuses the arguments, or the weights do not fit these. Whether
        weights can be fetched is known only when that is tried.
    """
    _check_name(model, weights)
    try:
        with torch.random.fork_rng(), torch.device("meta"):
            made = _made(model, arguments, 2, size)
            plain = _made(model, {}, 2, size) if weights and arguments else made
    except (TypeError, ValueError, AssertionError) as error:
        raise _refused(model, arguments, error) from error
    except (RuntimeError, NotImplementedError):
        return  # some networks need numbers while they are made, which "meta" tensors lack: `create` will tell
    for head in pretrained.heads(made):
        pretrained.last_layer(head)
    _check_shapes(model, arguments, _shapes(plain), _shapes(made))
    if size:
        _check_size(model, arguments, size, made)


def _check_size(model: str, arguments: Mapping[str, Any], size: int, made: nn.Module) -> None:
    """Refuse a network that cannot take images of `size` px, as some that are built for one size alone."""
    try:
        with torch.no_grad():
            made.eval()(torch.zeros(1, 1, size, size, device="meta"))
        return
    except (RuntimeError, NotImplementedError, AssertionError, ValueError):
        pass  # "meta" tensors have no numbers, which some networks need: only the real one tells
    try:
        with torch.random.fork_rng(), torch.no_grad():
            _made(model, arguments, 2, size).eval()(torch.zeros(1, 1, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        own = timm.get_pretrained_cfg(model)
        advice = f"; give it input_size: {own.input_size[-1]}" if own and own.input_size[-1] != size else ""
        reason = str(error).splitlines()[0]
        raise FetalkitError(
            f"classify.classifiers: {model} does not take images of {size} px ({reason}){advice}"
        ) from None


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    """Of the weights that pretrained ones are loaded into as they are; timm resizes patches and their positions."""
    return {
        name: weight.shape
        for name, weight in network.state_dict().items()
        if not re.search("patch|pos_|position", name)
    }


def _check_shapes(
    model: str, arguments: Mapping[str, Any], known: dict[str, torch.Size], asked: dict[str, torch.Size]
) -> None:
    other = [name for name in {**known, **asked} if known.get(name) != asked.get(name)]
    if other:
        raise FetalkitError(
            f"classify.classifiers: the pretrained weights of {model} do not fit {dict(arguments)} ({other[0]} and "
            f"{len(other) - 1} others); leave these arguments out, or set pretrained: false"
        )


def _check_name(model: str, weights: bool) -> None:
    name, _, tag = model.partition(".")
    close = None
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
    elif tag and not _has_tag(model):
        close = [other for other in timm.list_pretrained() if other.startswith(f"{name}.")]
    if close is not None:
        hint = f"did you mean {', '.join(close[:5])}?" if close else "see timm.list_models()"
        raise FetalkitError(f"classify.classifiers: timm has no model {model!r}; {hint}")
    if weights and not timm.is_model_pretrained(model):
        raise FetalkitError(f"classify.classifiers: there are no pretrained weights of {model}; set pretrained: false")


def _has_tag(model: str) -> bool:
    try:
        return timm.get_pretrained_cfg(model) is not None
    except RuntimeError:
        return False


def _refused(model: str, arguments: Mapping[str, Any], error: Exception) -> FetalkitError:
    return FetalkitError(f"classify.classifiers: {model} cannot be made with {dict(arguments)}: {error}")


def _network(model: str, arguments: Mapping[str, Any], n_classes: int, size: int, weights: bool) -> nn.Module:
    if weights and model == imagenet.NAME and not arguments:
        return pretrained.create(n_classes, channels=1)
    made = _made(model, arguments, n_classes, size, weights)
    return pretrained.reset_classifier_head(made) if weights else made


def _made(
    model: str, arguments: Mapping[str, Any], n_classes: int, size: int | None, weights: bool = False
) -> nn.Module:
    known = timm.get_pretrained_cfg(model)
    needs_size = {"img_size": size} if size and known is not None and known.fixed_input_size else {}
    return timm.create_model(model, pretrained=weights, in_chans=1, num_classes=n_classes, **needs_size, **arguments)
