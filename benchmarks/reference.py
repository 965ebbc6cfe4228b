"""The recipe that our generator is measured against: diffusers' unconditional-training example, made class-conditional.

Loss, noise schedule, optimiser, learning-rate schedule, batch and averaging are the example's defaults
(``examples/unconditional_image_generation/train_unconditional.py``). Its network costs a hundred times what two cores can
pay, so the same `UNet2DModel` on pixels is made narrower. It is drawn by the example's scheduler in 50 of its 1,000 steps:
after so short a training more of them draw no better (250 and 1,000 were looked at), and DDIM, whose steps put no fresh
noise over the errors that are made at high noise, draws nothing but noise.
"""

import time

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch.nn import functional

BATCH, WARMUP, TRIAL = 16, 500, 100


class Reference:
    """The recipe's network and its training.

    The length of its schedule follows from its speed, measured first. Processor time is counted, so that other work on the
    machine takes nothing away from it.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        torch.manual_seed(0)
        self.unet = UNet2DModel(
            sample_size=images.shape[1],
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(16, 32, 64, 96),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            num_class_embeds=int(labels.max()) + 1,
        )
        self.images = torch.tensor(images)[:, None].float() / 127.5 - 1
        self.labels = torch.tensor(labels)
        self.noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")

    def train(self, seconds: float) -> int:
        """Train for that much processor time, and return the number of steps."""
        optimiser = torch.optim.AdamW(self.unet.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        ema = EMAModel(self.unet.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

        def step() -> None:
            self._loss().backward()
            torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            ema.step(self.unet.parameters())

        began = time.process_time()
        for _ in range(TRIAL):
            step()
        steps = int(TRIAL * seconds / (time.process_time() - began))
        schedule = get_cosine_schedule_with_warmup(optimiser, WARMUP, steps)
        made = TRIAL
        while time.process_time() - began < seconds:
            step()
            schedule.step()
            made += 1
        ema.copy_to(self.unet.parameters())
        return made

    def _loss(self) -> torch.Tensor:
        rows = torch.randint(len(self.images), (BATCH,))
        clean = self.images[rows]
        clean = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, clean.flip(-1), clean)
        noise, steps = torch.randn_like(clean), torch.randint(1000, (BATCH,))
        predicted = self.unet(self.noising.add_noise(clean, noise, steps), steps, self.labels[rows]).sample
        return functional.mse_loss(predicted, noise)

    @torch.inference_mode()
    def sample(self, labels: np.ndarray, seed: int = 0, batch_size: int = 64) -> np.ndarray:
        """One uint8 image per label."""
        self.unet.eval()
        random, parts = torch.Generator().manual_seed(seed), []
        self.noising.set_timesteps(50)
        for first in range(0, len(labels), batch_size):
            classes = torch.from_numpy(labels[first : first + batch_size])
            images = torch.randn(len(classes), *self.images.shape[1:], generator=random)
            for step in self.noising.timesteps:
                noise = self.unet(images, step, classes).sample
                images = self.noising.step(noise, step, images, generator=random).prev_sample
            parts.append(((images[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy())
        return np.concatenate(parts)
