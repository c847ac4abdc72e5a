"""No field travels without a sentence that says what it is."""

import pytest

from fedcredit.models.family import _MODULES
from fedcredit.outbox.meanings import FIELDS, MESSAGES
from fedcredit.outbox.vectors import TRAINED, vector_in_words
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.messages import Role
from tests import step_traces, tiny


def travelling() -> dict[str, set[str]]:
    """Fields of every message of fedcredit.proto, as compiled."""
    return {
        name: {field.name for field in message.fields} for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }


def test_every_message_and_every_field_has_a_meaning_and_none_is_left_over():
    assert {name: set(fields) for name, fields in FIELDS.items()} == travelling()
    assert set(MESSAGES) == set(travelling())


def test_every_kind_is_a_message_with_a_meaning():
    kinds = {"".join(part.capitalize() for part in name.split("_")) for name, number in pb.Kind.items() if number}
    assert kinds == set(MESSAGES) - {"Envelope", "Head"}


def test_a_meaning_is_one_plain_sentence():
    for sentence in (*MESSAGES.values(), *(one for fields in FIELDS.values() for one in fields.values())):
        assert sentence.isprintable()
        assert 15 < len(sentence) < 120, sentence
        assert not sentence.endswith(".")
        assert ". " not in sentence


def test_every_family_says_what_its_rounds_sum():
    assert set(TRAINED) == set(_MODULES)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (tiny.spec(), ("exact zeros where its type owns nothing", "hidden by masks shared with 2 others", "all 3")),
        (tiny.spec(tiny.SHARED), ("its share of the members' noise", "hidden by masks")),
        (tiny.with_privacy(tiny.spec(), masks=False), ("not masked: the coordinator reads them as they are",)),
        (tiny.spec(tiny.NONE), ("no noise, since the data were declared public or synthetic", "not masked")),
    ],
    ids=["local", "distributed", "unmasked", "none"],
)
def test_a_vector_says_what_it_sums_which_noise_it_has_and_who_can_read_it(job, words):
    plan = tiny.federation(job).plan
    terms = plan.phases.preflight
    sentence = vector_in_words(plan, Role.PREFLIGHT, 3, (100 * terms.scale) ** 2)
    assert sentence.startswith(f"{terms.vector_length} integers: good and bad training records in each grid cell")
    assert all(word in sentence for word in words)
    assert ("standard deviation 100 records" in sentence) is (job.privacy.epsilon is not None)


def test_a_round_of_several_steps_and_an_evaluation_say_so():
    plan = tiny.federation(step_traces.job(rounds=1)).plan
    train, evaluate = (vector_in_words(plan, role, 3, 2**40) for role in (Role.TRAIN, Role.EVALUATE))
    assert "clipped gradients" in train
    assert f"over {plan.phases.train.local_steps} steps of its own, each on noised sums only" in train
    assert f"in each of {plan.evaluation.score_bins} score bins, by type" in evaluate
