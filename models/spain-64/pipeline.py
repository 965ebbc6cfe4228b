"""Drawing with diffusers alone: the pipeline of a released diffusion model, whose folder holds a copy of this file.

It imports nothing of the project, so that `DiffusionPipeline.from_pretrained` finds all that it needs in the folder.
"""

from typing import ClassVar

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler


class FetalPlanePipeline(DiffusionPipeline):
    """Draws fetal ultrasound planes, guided in an interval of noise levels: away from what a weaker network predicts.

    Parameters
    ----------
    denoiser
        A `Denoiser`; its last label stands for "no class".
    scheduler
        Of the noise levels.
    early
        The denoiser early in its training, which autoguidance leads away from; without it guidance is classifier-free.
    id2label
        Number of a class, as text → name of its plane.
    image_size
        Side of the images in px.
    pixel_mean, pixel_std
        Of the training images, which were scaled to [-1, 1].
    steps, guidance, guidance_low, guidance_high
        How it draws where nothing else is asked for; see `__call__`.
    """

    _optional_components: ClassVar = ["early"]

    def __init__(
        self,
        denoiser: ModelMixin,
        scheduler: EDMDPMSolverMultistepScheduler,
        early: ModelMixin | None = None,
        id2label: dict[str, str] | None = None,
        image_size: int = 64,
        pixel_mean: float = 0.0,
        pixel_std: float = 1.0,
        steps: int = 12,
        guidance: float = 1.0,
        guidance_low: float = 0.0,
        guidance_high: float = 100.0,
    ):
        super().__init__()
        self.register_modules(denoiser=denoiser, scheduler=scheduler, early=early)
        self.register_to_config(
            id2label=id2label or {},
            image_size=image_size,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            steps=steps,
            guidance=guidance,
            guidance_low=guidance_low,
            guidance_high=guidance_high,
        )

    @torch.no_grad()
    def __call__(
        self,
        plane: str,
        count: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draw images of a plane.

        Parameters
        ----------
        plane
            One of the names in `id2label`.
        count
            Number of images.
        steps
            Noise levels of the sampler.
        guidance
            Scale; 1 is none. It acts at noise levels (sigma) from `guidance_low` to `guidance_high`.
        generator
            Of the noise, on the CPU.
        latents
            The noise itself, standard normal (count, 1, image_size, image_size), instead of `count` and `generator`.
        output_type
            ``"pil"`` for images of PIL, ``"np"`` for floats (count, height, width, 1) in [0, 1].

        Raises
        ------
        ValueError
            When there is no such plane.
        """
        known = {name: int(number) for number, name in self.config["id2label"].items()}
        if plane not in known:
            raise ValueError(f"plane {plane!r}: there are {', '.join(known)}")
        side, device = self.config["image_size"], self.device
        noise = torch.randn(count, 1, side, side, generator=generator) if latents is None else latents
        labels = torch.full((len(noise),), known[plane], device=device)
        self.scheduler.set_timesteps(steps or self.config["steps"], device=device)
        images = noise.to(device) * self.scheduler.sigmas[0]
        scale = self.config["guidance"] if guidance is None else guidance
        for time in self.scheduler.timesteps:
            seen = self.scheduler.scale_model_input(images, time)
            images = self.scheduler.step(self._predicted(seen, time, labels, scale), time, images).prev_sample
        grey = images * (self.config["pixel_std"] / self.scheduler.config["sigma_data"]) + self.config["pixel_mean"]
        scaled = ((grey + 1) / 2).clamp(0, 1)
        # The margin is exactly black in real images.
        black = torch.nn.functional.max_pool2d(scaled, 3, stride=1, padding=1) * 255 < 1.5
        scaled = torch.where(black, 0, scaled).permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=self.numpy_to_pil(scaled) if output_type == "pil" else scaled)

    def _predicted(self, seen: torch.Tensor, time: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
        """What the network predicts, guided where guidance acts; the time is ln(sigma) / 4."""
        conditional = self.denoiser(seen, time, labels).sample
        if scale == 1 or not self.config["guidance_low"] <= float(torch.exp(4 * time)) <= self.config["guidance_high"]:
            return conditional
        no_class = torch.full_like(labels, len(self.config["id2label"]))
        weaker = (self.early or self.denoiser)(seen, time, no_class).sample
        return weaker + scale * (conditional - weaker)
