"""fetalkit: does pre-training on diffusion-generated fetal ultrasound planes make classifiers more accurate?"""
