"""How samples are drawn towards their plane: the prediction that the sampler follows at each noise level.

Guidance is classifier-free [1]_, autoguidance [2]_ or that of a classifier [3]_, and acts at some noise levels only [4]_.
The first two lead away from what a weaker model predicts: classifier-free guidance from the network itself without the plane,
autoguidance from an early state of its training, here without the plane, too: what the two disagree on is what the rest of the
training and the plane have taught.

References
----------
.. [1] Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.
.. [2] Karras et al., Guiding a Diffusion Model with a Bad Version of Itself, NeurIPS 2024, arXiv 2406.02507.
.. [3] Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021, arXiv 2105.05233.
.. [4] Kynkäänniemi et al., Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion
       Models, NeurIPS 2024, arXiv 2404.07724.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from fetalkit.generators.diffusion import edm
from fetalkit.generators.diffusion.settings import DiffusionSampling
from fetalkit.utils.errors import FetalkitError

if TYPE_CHECKING:
    from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier


def predictor(
    denoiser: "Denoiser",
    early: "Denoiser | None",
    guide: "NoisyClassifier | None",
    labels: torch.Tensor,
    no_class: int,
    sampling: DiffusionSampling,
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Function of scaled noisy images and their time (one number) that predicts what `edm.denoise` asks for.

    Raises
    ------
    FetalkitError
        When guidance needs `early` or `guide`, and there is none.
    """
    kind, scale = sampling.guidance_kind, sampling.guidance
    lacking = {
        "classifier": None if guide else ("noise-aware classifier", "guide_steps > 0"),
        "autoguidance": None if early else ("early state", "snapshots"),
    }.get(kind)
    if lacking and sampling.guides:
        raise FetalkitError(
            f"this generator has no {lacking[0]}, which guidance_kind: {kind} needs; train it with training.{lacking[1]}, "
            "or use classifier-free guidance"
        )

    def predict(seen: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        sigma = float(torch.exp(4 * time))
        if not sampling.guides_at(sigma):
            return denoiser(seen, time, labels).sample
        if kind == "autoguidance":
            assert early is not None  # as was checked above
            weaker = early(seen, time, torch.full_like(labels, no_class)).sample
            return weaker + scale * (denoiser(seen, time, labels).sample - weaker)
        if kind == "classifier-free":
            both = torch.cat([labels, torch.full_like(labels, no_class)])
            conditional, unconditional = denoiser(torch.cat([seen, seen]), time, both).sample.chunk(2)
            return unconditional + scale * (conditional - unconditional)
        # The denoised image moves by scale * sigma^2 * d log p(label | noisy) / d noisy; in terms of what the network
        # sees and predicts, that is scale * sigma / SIGMA_DATA * d log p / d seen.
        assert guide is not None  # as was checked above
        slope = _slope(guide, seen, time, labels)
        return denoiser(seen, time, labels).sample + scale * sigma / edm.SIGMA_DATA * slope

    return predict


def _slope(guide: "NoisyClassifier", seen: torch.Tensor, time: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gradient of the log-probability of the labels with respect to what the guide sees."""
    with torch.enable_grad():
        seen = seen.detach().clone().requires_grad_()
        chosen = guide(seen, time).log_softmax(dim=1).gather(1, labels[:, None]).sum()
        return torch.autograd.grad(chosen, seen)[0]
