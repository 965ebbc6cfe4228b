"""The network of the diffusion generator: a U-Net laid out for short trainings on a CPU.

Blocks and their order are those of ADM [1]_. What differs is there for speed: pixels are folded into channels first, all
tensors are channels-last, scales and shifts of all blocks come from one matrix product, and convolutions run in the
precision of the surrounding `torch.autocast`, while normalisations stay in single precision.

References
----------
.. [1] Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021, arXiv 2105.05233.
.. [2] Tancik et al., Fourier Features Let Networks Learn High Frequency Functions, NeurIPS 2020, arXiv 2006.10739.
.. [3] Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, arXiv 2206.00364.
"""

import math
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn
from torch.nn import functional

HEAD = 32

# Groups of the normalisations, and Fourier features of the noise level.
GROUPS, FREQUENCIES = 8, 64
# Numbers that tell the network how a training image was moved, and whether it was mirrored; see
# `fetalkit.generators.diffusion.augmentation`.
MOVES = 6


class Norm(nn.GroupNorm):
    """Group normalisation in single precision, whatever the precision around it: sums over many pixels need it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class _Attention(nn.Module):
    """Self-attention over all positions. Written out, since for few positions that is faster than the fused kernel."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm, self.heads = Norm(GROUPS, channels), channels // HEAD
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        _zero(self.out)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = inputs.shape
        tokens = self.norm(inputs).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        qkv = self.qkv(tokens).view(batch, height * width, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        weights = ((query * HEAD**-0.5) @ key.transpose(-1, -2)).softmax(dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, height * width, channels)
        return inputs + self.out(mixed).view(batch, height, width, channels).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Residual block: two convolutions, the second one after a scale and shift that depend on the conditions."""

    def __init__(self, inputs: int, outputs: int, attention: bool):
        super().__init__()
        self.outputs = outputs
        self.before, self.first = Norm(GROUPS, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.between, self.second = Norm(GROUPS, outputs, affine=False), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = _Attention(outputs) if attention else nn.Identity()
        # A block begins as the identity, which steadies the first steps.
        _zero(self.second)

    def forward(self, inputs: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        """(batch, channel, height, width), and ``(batch, 2 * outputs)`` scales and shifts."""
        scale, shift = modulation.float()[:, :, None, None].chunk(2, dim=1)
        hidden = self.between(self.first(functional.silu(self.before(inputs))))
        hidden = self.second(functional.silu(torch.addcmul(shift, hidden, 1 + scale)))
        return self.attention(self.skip(inputs) + hidden)


def _blocks(level: nn.Module) -> list[Block]:
    """Blocks of a list of them, in its order."""
    return [cast(Block, block) for block in level.children()]


class Conditions(nn.Module):
    """Noise level, class and movement as one vector, and from it the scales and shifts of all blocks."""

    frequency: torch.Tensor
    phase: torch.Tensor

    def __init__(self, width: int, n_labels: int, blocks: list[Block], n_domains: int = 1, n_moves: int = MOVES):
        super().__init__()
        self.n_labels = n_labels
        # Random Fourier features [2]; saved with the weights. Frequencies in cycles per unit of ln(sigma) / 4.
        self.register_buffer("frequency", torch.randn(FREQUENCIES) * 2 * math.pi)
        self.register_buffer("phase", torch.rand(FREQUENCIES) * 2 * math.pi)
        self.level = nn.Linear(FREQUENCIES, width)
        self.plane = nn.Embedding(n_labels, width) if n_labels else None
        self.domain = nn.Embedding(n_domains, width) if n_domains > 1 else None
        if self.domain is not None:
            _zero(self.domain)
        self.move = nn.Linear(n_moves, width, bias=False)
        self.mix = nn.Linear(width, width)
        self.widths = [2 * block.outputs for block in blocks]
        self.modulate = nn.Linear(width, sum(self.widths))

    def forward(self, time: torch.Tensor, labels: torch.Tensor | None, moves: torch.Tensor | None) -> list:
        """One ``(batch, 2 * channels)`` per block."""
        features = (time.float()[:, None] * self.frequency + self.phase).cos() * math.sqrt(2)
        vector = self.level(features)
        if self.plane is not None and labels is not None:
            vector = vector + self.plane(labels % self.n_labels)
            if self.domain is not None:
                vector = vector + self.domain(labels // self.n_labels)
        if moves is not None:
            vector = vector + self.move(moves)
        vector = functional.silu(self.mix(functional.silu(vector)))
        return list(self.modulate(vector).split(self.widths, dim=1))


class Encoder(nn.Module):
    """The way down: blocks at each resolution, and strided convolutions between them."""

    def __init__(self, unshuffle: int, channels: list[int], attention: list[bool], blocks: int):
        super().__init__()
        self.unshuffle = unshuffle
        self.stem = nn.Conv2d(unshuffle**2, channels[0], 3, padding=1)
        self.levels, self.downs = nn.ModuleList(), nn.ModuleList()
        for level, (width, attended) in enumerate(zip(channels, attention, strict=True)):
            above = channels[max(level - 1, 0)]
            self.downs.append(nn.Conv2d(above, width, 2, stride=2) if level else nn.Identity())
            self.levels.append(nn.ModuleList(Block(width, width, attended) for _ in range(blocks)))

    def blocks(self) -> list[Block]:
        """All blocks, in the order in which they run."""
        return [block for level in self.levels for block in _blocks(level)]

    def forward(self, images: torch.Tensor, modulations: list) -> list[torch.Tensor]:
        """What each resolution ends with, finest first; takes its share from the front of `modulations`."""
        folded = functional.pixel_unshuffle(images, self.unshuffle)
        hidden, results = self.stem(folded.contiguous(memory_format=torch.channels_last)), []
        for down, level in zip(self.downs, self.levels, strict=True):
            hidden = down(hidden)
            for block in _blocks(level):
                hidden = block(hidden, modulations.pop(0))
            results.append(hidden)
        return results


class Denoiser(ModelMixin, ConfigMixin):
    """Class-conditional U-Net, in the calling convention of `diffusers.UNet2DModel`.

    Parameters
    ----------
    n_labels
        Number of labels, "no class" included.
    unshuffle, channels, attention, blocks
        As in :class:`fetalkit.generators.diffusion.settings.DiffusionTraining`.
    n_domains
        Number of sources of images; the label of class `c` from source `d` is ``d * n_labels + c``.
    n_moves
        Numbers that tell how an image was moved; 5 in a network that was not told of mirroring.
    """

    @register_to_config
    def __init__(
        self,
        n_labels: int,
        unshuffle: int,
        channels: list[int],
        attention: list[bool],
        blocks: int = 1,
        n_domains: int = 1,
        n_moves: int = MOVES,
    ):
        super().__init__()
        self.encoder = Encoder(unshuffle, channels, attention, blocks)
        self.middle = Block(channels[-1], channels[-1], attention[-1])
        self.levels, self.ups = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(channels))):
            width = channels[level]
            inputs = [2 * width] + [width] * (blocks - 1)
            self.levels.append(nn.ModuleList(Block(wide, width, attention[level]) for wide in inputs))
            self.ups.append(nn.Conv2d(width, 4 * channels[level - 1], 1) if level else nn.Identity())
        self.norm, self.out = Norm(GROUPS, channels[0]), nn.Conv2d(channels[0], unshuffle**2, 3, padding=1)
        _zero(self.out)
        every = [*self.encoder.blocks(), self.middle, *(block for level in self.levels for block in _blocks(level))]
        self.conditions = Conditions(channels[-1], n_labels, every, n_domains, n_moves)
        nn.Module.to(self, memory_format=torch.channels_last)

    def begin_with(self, other: "Denoiser") -> None:
        """Take over the weights of a network of the same shape that may know several sources: it goes on in the first."""
        weights = dict(other.state_dict())
        domains = weights.pop("conditions.domain.weight", None)
        if domains is not None:
            weights["conditions.plane.weight"] = weights["conditions.plane.weight"] + domains[0]
        self.load_state_dict(weights)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        class_labels: torch.Tensor,
        moves: torch.Tensor | None = None,
    ) -> UNet2DOutput:
        """Prediction for noisy images.

        Parameters
        ----------
        sample
            ``(batch, 1, height, width)``, scaled to variance 1.
        timestep
            ``ln(sigma) / 4``, shape ``(batch,)`` or a single number.
        class_labels
            int64, shape ``(batch,)``.
        moves
            How the images were moved and whether they were mirrored, ``(batch, n_moves)``; None is "not at all".

        Returns
        -------
        UNet2DOutput
            With ``sample`` of the same shape, float32.
        """
        time = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        modulations = self.conditions(time, class_labels, moves)
        kept = self.encoder(sample, modulations)
        hidden = self.middle(kept[-1], modulations.pop(0))
        for level, up in zip(self.levels, self.ups, strict=True):
            hidden = torch.cat([hidden, kept.pop()], dim=1)
            for block in _blocks(level):
                hidden = block(hidden, modulations.pop(0))
            if kept:
                hidden = functional.pixel_shuffle(up(hidden), 2)
        folded = self.out(functional.silu(self.norm(hidden)))
        return UNet2DOutput(sample=functional.pixel_shuffle(folded, self.config["unshuffle"]).float())


class NoisyClassifier(ModelMixin, ConfigMixin):
    """Names the plane of a noisy image: the way down of a `Denoiser`, averaged over positions.

    Parameters
    ----------
    n_classes
        Number of planes.
    unshuffle, channels, attention, blocks
        As in :class:`fetalkit.generators.diffusion.settings.DiffusionTraining`.
    """

    @register_to_config
    def __init__(self, n_classes: int, unshuffle: int, channels: list[int], attention: list[bool], blocks: int = 1):
        super().__init__()
        self.encoder = Encoder(unshuffle, channels, attention, blocks)
        self.norm, self.out = Norm(GROUPS, channels[-1]), nn.Linear(channels[-1], n_classes)
        self.conditions = Conditions(channels[-1], 0, self.encoder.blocks())
        nn.Module.to(self, memory_format=torch.channels_last)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, moves: torch.Tensor | None = None) -> torch.Tensor:
        """Logits ``(batch, n_classes)``, float32; arguments as in `Denoiser`."""
        time = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        hidden = self.encoder(sample, self.conditions(time, None, moves))[-1]
        return self.out(functional.silu(self.norm(hidden)).mean(dim=(2, 3))).float()
