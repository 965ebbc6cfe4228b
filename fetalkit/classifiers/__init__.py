"""Classifiers of planes: networks, augmentation, batches, training, and where a network looks."""
