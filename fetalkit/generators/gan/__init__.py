"""Class-conditional generative adversarial network for few images."""
