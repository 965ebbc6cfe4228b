"""From source files to what networks see: canonical images, splits, k-shot subsets, and a study's view of them."""
