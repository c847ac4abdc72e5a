"""What a finished job says to those who must approve and use its scorecard, as arithmetic on what was released.

`inputs` and `reading` are the way in, `report` puts the twelve parts together, `page`, `card` and JSON are the ways
out. Nothing here sees a record, spends privacy or judges: the report records what was measured, how sure that is, and
what was not measured.
"""
