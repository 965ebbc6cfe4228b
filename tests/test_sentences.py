"""Every sentence that is written from numbers, held against these numbers: none may say more, or other, than they do."""

import doctest

from fetalkit.analysis import wording


def test_the_examples_of_how_numbers_are_written():
    assert doctest.testmod(wording).failed == 0
