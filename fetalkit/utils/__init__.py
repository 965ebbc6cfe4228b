"""What every room needs: errors, paths, atomic files, random streams, checkpoints, devices, processes, provenance."""
