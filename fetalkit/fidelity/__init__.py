"""How good are synthetic images: distances, manifolds, speckle.

``features`` turns images into vectors of a named space; ``distances`` and ``manifold`` compare two sets of such vectors, and
``compare`` does so for many sets fairly; ``speckle`` measures what a sonographer sees first; ``figures`` draws it all, and
``sentences`` says it in words. `fetalkit.memorisation` looks for copies; `fetalkit.evaluation` applies all to a study.
"""
