"""From executed notebooks to pages, cards, the test log and the tables of the README."""
