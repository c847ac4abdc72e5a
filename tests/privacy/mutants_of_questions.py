"""Mutants of the numbers that one institution gives another; `mutant_table` holds all."""

from tests.privacy.mutant import mutant

SERVICE = "fedcredit/scoring/block_service.py"
BLOCK = "tests/fedcredit/scoring/test_block.py"


OF_QUESTIONS = (
    mutant(
        "number-without-consent",
        "a peer gets a number of somebody who has not consented",
        "questions",
        f"{BLOCK}::test_every_refusal_on_a_person_is_the_same_bytes",
        (SERVICE, "if not consented:", "if not consented and steps is None:"),
    ),
    mutant(
        "persons-unlimited",
        "a peer asks for one person as often as it likes",
        "questions",
        f"{BLOCK}::test_limits_count_every_question_alike",
        (SERVICE, "if counts.of_person >= self.per_person.requests:", "if counts.of_person < 0:"),
    ),
    mutant(
        "question-twice",
        "one signed question is answered as often as it is sent",
        "questions",
        f"{BLOCK}::test_a_question_is_answered_once_even_after_a_restart",
        ("fedcredit/scoring/block_audit.py", 'once=("side", "peer", "nonce"),', 'once=("seq",),'),
    ),
)
