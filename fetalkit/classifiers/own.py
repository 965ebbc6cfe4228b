"""Networks of the project's own that are used as timm models are: each is known to timm once its module is imported.

The module is found by the name of the network, so that a training follows from its code only where it is used.
"""

from importlib import import_module

DENOISER_ENCODER = "denoiser_encoder"
MODULES = {DENOISER_ENCODER: "fetalkit.classifiers.denoiser_encoder"}


def known(model: str) -> str:
    """`model`, once timm knows it if it is one of the project's own."""
    if model in MODULES:
        import_module(MODULES[model])
    return model


def modules(model: str) -> list[str]:
    """Dotted names of the modules that a network of the project's own comes from: what a training with it follows from."""
    return [MODULES[model]] if model in MODULES else []
