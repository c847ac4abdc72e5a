"""STAND-IN by the lead (to be replaced by C's)."""


class PointsRow:
    feature = bin = label = ""
    woe = iv = coefficient = points = 0.0
    scale_sentence = ""


def points_table(model):
    return ()
