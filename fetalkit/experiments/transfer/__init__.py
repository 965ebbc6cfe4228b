"""Transfer between hospitals: align features (``alignment``, ``adversary``, ``adabn``) or images (``inputs``, ``scales``)."""
