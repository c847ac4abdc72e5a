"""The mutants: what each breaks, as edits of the source; the job that shows it; the tests that must notice.

An edit names a text that stands in its file exactly once. `mutants` applies and runs them.
"""

from tests.privacy.mutants_of_charges import OF_CHARGES
from tests.privacy.mutants_of_groups import OF_GROUPS
from tests.privacy.mutants_of_questions import OF_QUESTIONS
from tests.privacy.mutants_of_sums import OF_SUMS

MUTANTS = (*OF_SUMS, *OF_CHARGES, *OF_GROUPS, *OF_QUESTIONS)
