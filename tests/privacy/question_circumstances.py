"""A bank's questions to a hospital, for `circumstances`: what is answered, and what stands in the hospital's book."""

import hashlib
import tempfile
from pathlib import Path

from fedcredit.errors import RefusalError
from fedcredit.scoring.block_messages import seal_question
from fedcredit.scoring.peers_file import PerPerson
from tests.fedcredit.scoring.hospital import Hospital
from tests.privacy.transcripts import Lines


def questions() -> Lines:
    """One who consented three times, one question twice, one who did not consent, a stranger."""
    with tempfile.TemporaryDirectory() as folder:
        hospital = Hospital(Path(folder), PerPerson(requests=2, days=30))
        persons = [b"consented", b"consented", b"consented", b"patient", b"nobody"]
        asked = [hospital.question(person, nonce=bytes([n]) * 16) for n, person in enumerate(persons)]
        sealed = [seal_question(hospital.bank, one) for one in (*asked, asked[0])]
        lines = [f"message hospital-1 {answered(hospital, one)}" for one in sealed]
        lines += [f"ledger hospital-1 {note}" for note in hospital.notes()]
        hospital.book.close()
    return lines


def answered(hospital: Hospital, question: bytes) -> str:
    try:
        answer, outcome = hospital.answerer.answer(question)
    except RefusalError as error:
        return error.code
    return f"{len(answer)} {outcome.name} {hashlib.sha256(answer).hexdigest()}"


ALL = (questions,)
