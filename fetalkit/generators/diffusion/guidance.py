"""How samples are drawn towards their plane: the prediction that the sampler follows at each noise level.

References
----------
.. [1] Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.
.. [2] Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021, arXiv 2105.05233.
.. [3] Kynkäänniemi et al., Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion
       Models, NeurIPS 2024, arXiv 2404.07724.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fetalkit.generators.diffusion import edm
from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier
from fetalkit.utils.errors import FetalkitError

KINDS = ("classifier-free", "classifier")


@dataclass(frozen=True)
class Guidance:
    """What kind of guidance, how much, and where.

    Attributes
    ----------
    kind
        ``"classifier-free"`` [1]_ or ``"classifier"`` [2]_.
    scale
        Classifier-free: 1 is none, i.e. purely conditional, and 0 unconditional. Classifier: 0 is none.
    interval
        Lowest and highest noise level (sigma) at which it acts [3]_; data have standard deviation `edm.SIGMA_DATA`.

    Raises
    ------
    FetalkitError
        When there is no such kind.
    """

    kind: str = "classifier-free"
    scale: float = 1.5
    interval: tuple[float, float] = (0.0, 100.0)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise FetalkitError(f"guidance {self.kind!r} is not known; choose one of: {', '.join(KINDS)}")

    def acts(self, sigma: float) -> bool:
        """Whether it changes the prediction at this noise level."""
        nothing = 1.0 if self.kind == "classifier-free" else 0.0
        return self.scale != nothing and self.interval[0] <= sigma <= self.interval[1]


def predictor(
    denoiser: Denoiser, guide: NoisyClassifier | None, labels: torch.Tensor, no_class: int, guidance: Guidance
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Function of scaled noisy images and their time (one number) that predicts what `edm.denoise` asks for.

    Raises
    ------
    FetalkitError
        When classifier guidance is wanted and there is no `guide`.
    """
    if guidance.kind == "classifier" and guide is None and guidance.scale:
        raise FetalkitError(
            "this generator has no noise-aware classifier; train it with diffusion.guide_steps > 0, "
            "or use classifier-free guidance"
        )

    def predict(seen: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        sigma = float(torch.exp(4 * time))
        if not guidance.acts(sigma):
            return denoiser(seen, time, labels).sample
        if guidance.kind == "classifier-free":
            both = torch.cat([labels, torch.full_like(labels, no_class)])
            conditional, unconditional = denoiser(torch.cat([seen, seen]), time, both).sample.chunk(2)
            return unconditional + guidance.scale * (conditional - unconditional)
        # The denoised image moves by scale * sigma^2 * d log p(label | noisy) / d noisy; in terms of what the network
        # sees and predicts, that is scale * sigma / SIGMA_DATA * d log p / d seen.
        slope = _slope(guide, seen, time, labels)
        return denoiser(seen, time, labels).sample + guidance.scale * sigma / edm.SIGMA_DATA * slope

    return predict


def _slope(guide: NoisyClassifier, seen: torch.Tensor, time: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gradient of the log-probability of the labels with respect to what the guide sees."""
    with torch.enable_grad():
        seen = seen.detach().clone().requires_grad_()
        chosen = guide(seen, time).log_softmax(dim=1).gather(1, labels[:, None]).sum()
        return torch.autograd.grad(chosen, seen)[0]
