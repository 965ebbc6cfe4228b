"""How good are synthetic images: distances, manifolds, near-copies, speckle.

``features`` turns images into vectors of a named space; ``distances`` and ``manifold`` compare two sets of such vectors, and
``compare`` does so for many sets fairly; ``memorisation`` looks for copies of training images; ``speckle`` measures what a
sonographer sees first; ``figures`` draws it all, and ``sentences`` says it in words. `fetalkit.evaluation` applies them to all
sets of a study.
"""
