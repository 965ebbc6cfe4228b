"""Measures of predictions and of synthetic images, as functions of arrays; nothing here trains, draws or reads a study."""
