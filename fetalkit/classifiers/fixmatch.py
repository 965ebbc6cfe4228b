"""FixMatch: a classifier learns from a few labelled images and, at the same time, from its own sure calls on unlabelled ones.

Unlabelled images are shown twice, changed a little and changed much. What a moving average of the network sees in the first
view, where it is sure, is what the network is to see in the second one [1]_. The moving average takes the place of the network
itself there, since its calls change less from step to step [2]_.

References
----------
.. [1] Sohn et al., FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence, NeurIPS 2020,
   arXiv 2001.07685.
.. [2] Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, arXiv 1703.01780.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fetalkit.classifiers.loader import Feed, as_input, augmentation, drawn
from fetalkit.classifiers.trainer import CrossEntropy
from fetalkit.utils.streams import rng

SURE = 0.95  # least probability of a call that is learnt from, as in the paper
DECAY = 0.99  # of the moving average per step; the paper's 0.999 is for a thousand times as many steps
RATIO = 2  # unlabelled images per labelled one in a batch; the paper's 7 would triple the time
STRONG = "ultrasound"  # the augmentation that changes much; the feed's own one changes little


class FixMatch(CrossEntropy):
    """Cross-entropy of labelled images, plus that of unlabelled ones with the calls of a moving average of the network.

    Labels are not smoothed: no call would be sure.

    Parameters
    ----------
    model
        The classifier that is trained, on its device.
    unlabelled
        Further images; their labels are not looked at.
    """

    def __init__(self, model: nn.Module, unlabelled: Feed):
        super().__init__()
        self.unlabelled = unlabelled
        self.teacher = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
        self.teacher.requires_grad_(False)

    def forward(
        self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, step: int, steps: int
    ) -> torch.Tensor:
        """Loss, a scalar, of a batch of labelled images; as `CrossEntropy.forward`."""
        if step:
            self.teacher.update_parameters(model)
        weak, strong = self._views(step, RATIO * len(inputs), inputs.device)
        self.teacher.eval()
        with torch.no_grad():
            sure, called = self.teacher(weak).softmax(dim=1).max(dim=1)
        # One batch, so that batch normalisation sees both kinds.
        logits = model(torch.cat([inputs, strong]))
        losses = functional.cross_entropy(logits[len(inputs) :], called, reduction="none")
        return self.of_logits(logits[: len(inputs)], targets) + (losses * (sure >= SURE)).mean()

    def _views(self, step: int, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The same images, changed a little and changed much: float (count, 1, height, width) in [0, 1] each."""
        feed = self.unlabelled
        images, _ = drawn(feed.data, count, step, feed.seed)
        weak, strong = (
            augmentation(name)(as_input(images, device), rng(feed.seed, name, step))
            for name in (feed.augmentation, STRONG)
        )
        return weak, strong
