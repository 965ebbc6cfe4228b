"""Class-conditional diffusion model, small enough to be trained on one core in minutes."""
