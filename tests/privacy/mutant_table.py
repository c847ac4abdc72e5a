"""The mutants: what each breaks, as edits of the source; the job that shows it; the tests that must notice.

An edit names a text that stands in its file exactly once. `mutants` applies and runs them.
"""

from dataclasses import dataclass

CUSTODIAN = "fedcredit/custodian/custodian.py"
NOISE = "fedcredit/custodian/noise.py"


@dataclass(frozen=True)
class Edit:
    """One text of one file and what stands in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One deliberate break.

    Attributes
    ----------
    breaks
        What it breaks, in half a sentence.
    circumstance
        The job of `circumstances` that shows it.
    tests
        Node ids of the tests that claim to kill it.
    """

    name: str
    breaks: str
    circumstance: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _mutant(name: str, breaks: str, circumstance: str, tests: str, *edits: tuple[str, str, str]) -> Mutant:
    return Mutant(name, breaks, circumstance, tuple(Edit(*edit) for edit in edits), tuple(tests.split()))


MUTANTS = (
    # The noise.
    _mutant(
        "half-noise",
        "the noise has half its scale",
        "default",
        "tests/fedcredit/custodian/test_mutants.py::test_halved_noise_is_noticed",
        (NOISE, "rounded_gaussian.bytes_needed(size)))", "rounded_gaussian.bytes_needed(size))) // 2"),
    ),
    _mutant(
        "float-noise",
        "the noise of shared sums is a double-precision generator's",
        "distributed",
        "tests/privacy/test_message_noise.py::test_every_draw_is_the_exact_samplers_for_this_message",
        (
            NOISE,
            "return rounded_gaussian.draw(noise_variance, size, bits.stream(",
            (
                "generator = np.random.Generator(np.random.Philox(int.from_bytes(bits.stream(context, 16), 'big')))\n"
                "    return np.rint(generator.normal(0.0, noise_variance**0.5, size)).astype(np.int64)\n"
                "    return rounded_gaussian.draw(noise_variance, size, bits.stream("
            ),
        ),
    ),
    _mutant(
        "share-without-scaling",
        "a share is σ²/n, so that t colluders leave less than σ²",
        "distributed",
        "tests/fedcredit/privacy/test_shares.py::test_honest_shares_sum_to_the_noise_and_hardly_more",
        (
            "fedcredit/privacy/shares.py",
            "share = -(-noise_variance // (members - colluders))",
            "share = -(-noise_variance // members)",
        ),
    ),
    _mutant(
        "share-by-plan",
        "a share is sized by the plan's members, not by the attempt's",
        "drop",
        "tests/privacy/test_message_noise.py::test_every_draw_is_the_exact_samplers_for_this_message",
        (CUSTODIAN, "request.role, len(request.members))", "request.role, len(plan.members))"),
    ),
    _mutant(
        "owners-only",
        "under shared noise an institution adds none where it owns nothing",
        "distributed",
        "tests/fedcredit/custodian/test_custodian.py::test_a_share_of_distributed_noise_is_added_everywhere",
        (
            CUSTODIAN,
            "if plan.privacy.placement is Placement.DISTRIBUTED:\n            return noised\n        return np.where(",
            "return np.where(",
        ),
    ),
    _mutant(
        "seeded-key",
        "the noise key is a constant",
        "default",
        "tests/fedcredit/privacy/test_bits.py::test_other_contexts_and_other_sources_share_nothing",
        ("fedcredit/privacy/bits.py", "bytearray(os.urandom(KEY_BYTES))", 'bytearray(b"a constant".ljust(KEY_BYTES))'),
    ),
    _mutant(
        "running-generator",
        "noise comes from a state that a snapshot rewinds",
        "default",
        "tests/fedcredit/privacy/test_bits.py::test_the_same_context_repeats_and_a_shorter_request_is_a_prefix",
        (
            "fedcredit/privacy/bits.py",
            'key = hmac.digest(self._key, noise_context(_DOMAIN, context), "sha256")',
            (
                'self._key[:] = hmac.digest(self._key, b"next", "sha256")\n'
                '        key = hmac.digest(self._key, noise_context(_DOMAIN), "sha256")'
            ),
        ),
    ),
    _mutant(
        "vector-unbound",
        "two different vectors at one place get one noise",
        "default",
        "tests/privacy/test_message_noise.py::test_every_draw_is_the_exact_samplers_for_this_message",
        (
            NOISE,
            'noise_context(b"noise", message, digest("vector", exact.astype("<i8").tobytes()))',
            'noise_context(b"noise", message)',
        ),
    ),
    # What is summed.
    _mutant(
        "residual-unbounded",
        "a record's residual grows with its margin",
        "default",
        "tests/fedcredit/models/test_residual_table.py::test_margins_beyond_the_table_take_its_ends",
        (
            "fedcredit/models/residual_table.py",
            "    return table[bad.astype(np.intp), clipped + MARGIN_LIMIT]",
            (
                "    scale = int(table.max())\n"
                "    return scale // 2 + margins * scale // 4096 - bad.astype(np.int64) * scale + 0 * clipped"
            ),
        ),
    ),
    _mutant(
        "gradient-unclipped",
        "a record's integer gradient may be longer than the radius",
        "loose_clip",
        "tests/fedcredit/models/test_mlp_clipping.py::test_a_record_beyond_the_radius_is_zeroed_and_spoils_no_other",
        (
            "fedcredit/models/mlp_clipping.py",
            "factors = scale * (within / np.maximum(np.sqrt(norms), within))",
            "factors = scale * np.ones_like(within)",
        ),
        ("fedcredit/models/mlp_clipping.py", "np.copyto(part, 0.0, where=~within)", "part += 0.0"),
    ),
    _mutant(
        "root-of-k",
        "the sensitivity of k records of a person is √k of one's",
        "person",
        "tests/fedcredit/custodian/test_neighbour_replay.py::test_a_person_at_the_cap_changes_no_more_than_what_is_charged",
        ("fedcredit/terms.py", "per_unit = records_per_unit**2", "per_unit = records_per_unit"),
    ),
    _mutant(
        "groupings-uncounted",
        "the evaluation's sensitivity lacks √G",
        "groupings",
        "tests/privacy/test_neighbour_replay_raw.py::test_both_roles_and_the_whole_sensitivity_are_reached",
        ("fedcredit/terms.py", "COUNT_SCALE**2 * len(evaluation.groupings)", "COUNT_SCALE**2"),
    ),
    _mutant(
        "linked-row-twice",
        "a linked record is counted twice",
        "linked",
        "tests/fedcredit/models/test_joint_family.py::test_a_record_changes_one_cell_by_one_and_a_label_two",
        ("fedcredit/models/joint_model.py", "np.bincount(place, ", "np.bincount(np.r_[place, place], "),
    ),
    _mutant(
        "stratified-split",
        "roles are dealt by label, so that one record moves others",
        "raw",
        "tests/privacy/test_neighbour_replay_raw.py::test_a_raw_record_changes_no_more_than_what_is_charged[plain]",
        (
            "fedcredit/data/dataset.py",
            "return evaluation_mask([ids[i] for i in part], key, fraction).astype(np.int64)",
            (
                "order, role = np.argsort(quantised.bad[part], kind='stable'), np.zeros(len(part), dtype=np.int64)\n"
                "    role[order[:: round(1 / fraction)]] = 1\n"
                "    return role + 0 * len(evaluation_mask([ids[i] for i in part], key, fraction))"
            ),
        ),
    ),
    _mutant(
        "sampled-by-record",
        "records are sampled one by one where persons are protected",
        "sampled_persons",
        "tests/fedcredit/custodian/test_persons.py::test_a_person_takes_part_with_all_of_its_records_or_with_none",
        (
            "fedcredit/custodian/contribute.py",
            "    size = rows.n_units\n",
            (
                "    size = rows.n_rows\n"
                "    bits = sampling.stream(context, poisson.bytes_needed(size))\n"
                "    mask = poisson.sample(Fraction(rate), size, bits)\n"
                "    if rows.persons is not None:\n"
                "        persons = np.unique(rows.persons[mask], return_inverse=True)[1]\n"
                "        return single(rows.cells[mask], rows.bad[mask], persons)\n"
            ),
        ),
    ),
    _mutant(
        "divisor-from-data",
        "local steps divide by the true number of records",
        "local_steps",
        "tests/privacy/test_message_noise.py::test_a_true_number_of_records_moves_no_noised_step",
        (
            "fedcredit/custodian/local_steps.py",
            "max(1.0, plan.training_records(site.institution))",
            "max(1.0, float(site.data.train.n_rows))",
        ),
    ),
    # The charge.
    _mutant(
        "steps-charged-as-one",
        "K steps of an institution's own cost what one costs",
        "local_steps",
        "tests/fedcredit/custodian/test_local_steps.py::test_all_steps_are_charged_in_one_event",
        ("fedcredit/privacy/statement.py", "terms.sampling_rate, terms.local_steps", "terms.sampling_rate, 1"),
    ),
    _mutant(
        "charge-after-send",
        "a message leaves before its charge is durable",
        "retry",
        "tests/fedcredit/custodian/test_ledger_faults.py::"
        "test_a_full_disk_refuses_a_round_and_the_same_request_is_answered_later",
        (
            CUSTODIAN,
            "self._ledger.commit(charge, seal)",
            (
                "(self.__dict__.setdefault('_unpaid', []).append((charge, seal))\n"
                "             or (len(self._unpaid) > 1 and self._ledger.commit(*self._unpaid.pop(0)) and None)\n"
                "             or seal(self._ledger.event_count + 1, bytes(32)))"
            ),
        ),
    ),
    _mutant(
        "retry-for-nothing",
        "a retry is not charged",
        "retry",
        "tests/privacy/test_charges.py::test_a_retry_costs_what_the_first_attempt_costs",
        (
            "fedcredit/privacy/ledger.py",
            "cost = self.account.accountant.cost(charge.mechanism)",
            "cost = self.account.accountant.cost(charge.mechanism) * (charge.slot.attempt == 1)",
        ),
    ),
    _mutant(
        "refund-on-restart",
        "a restart forgets what the job has spent",
        "restart",
        "tests/privacy/test_charges.py::test_a_restart_refunds_nothing_however_often",
        (
            "fedcredit/privacy/ledger_read.py",
            'spent = sum((read_fraction(event["cost"]) for event in self.charges(plan_hash)), Fraction(0))',
            (
                'again = sum(note["plan_hash"] == plan_hash.hex() for note in self.notes("epoch")) > 1\n'
                "        kept = [] if again else self.charges(plan_hash)\n"
                '        spent = sum((read_fraction(event["cost"]) for event in kept), Fraction(0))'
            ),
        ),
    ),
    _mutant(
        "recomputed-resend",
        "the same request again gets fresh noise for nothing",
        "resend",
        "tests/fedcredit/custodian/test_custodian.py::test_a_resend_is_the_stored_bytes_and_costs_nothing",
        (
            CUSTODIAN,
            'answered for another request; raise the attempt.")\n            return stored.message\n',
            (
                'answered for another request; raise the attempt.")\n'
                "            plan = self._jobs.plan(request.plan_hash, sender)\n"
                "            place = slot.role, slot.round, slot.attempt\n"
                "            exact = contribute(self._site, plan, request.role, request.model, OsBitSource(), b'')\n"
                "            variance = own_noise_variance(plan, self._site.kind, request.role, len(request.members))\n"
                "            noise = rounded_gaussian_noise(request.role, variance, exact.size, OsBitSource(), b'')\n"
                "            hashes = plan.roster.attempt_digest(request.members), digest('model', request.model)\n"
                "            vector = (exact + noise).astype('<i8').tobytes()\n"
                "            again = Contribution(slot.plan_hash, *place, *hashes, vector, 1, bytes(32), bytes(64))\n"
                "            return stored.message if request.role is Role.EVALUATE else self._seal(again)\n"
            ),
        ),
    ),
    _mutant(
        "one-round-more",
        "round T + 1 is answered",
        "extra_round",
        "tests/fedcredit/custodian/test_custodian.py::test_rounds_beyond_the_plan_are_refused",
        (
            "fedcredit/custodian/guard.py",
            "if not 1 <= request.round <= terms.rounds:",
            "if not 1 <= request.round <= terms.rounds + 1:",
        ),
    ),
    _mutant(
        "receipt-understated",
        "the receipt says half of what was spent",
        "default",
        "tests/privacy/test_charges.py::test_a_receipt_says_what_the_charges_add_up_to",
        (
            "fedcredit/privacy/statement.py",
            "epsilon_spent=accountant.epsilon(spent, delta)",
            "epsilon_spent=accountant.epsilon(spent / 2, delta)",
        ),
    ),
    # What leaves besides.
    _mutant(
        "count-in-a-message",
        "a message field carries the exact number of rows",
        "default",
        "tests/privacy/test_neighbour_replay_raw.py::test_raw_neighbours_look_alike_from_outside[plain]",
        (
            CUSTODIAN,
            "Receipt(request.plan_hash, model_hash, own_statement, event_count)",
            "Receipt(request.plan_hash, model_hash, own_statement, event_count + self._site.data.train.n_rows)",
        ),
    ),
    _mutant(
        "loss-in-the-log",
        "a log line carries an exact sum",
        "default",
        "tests/privacy/test_log_lines.py",
        (
            CUSTODIAN,
            "            exact = contribute(site, plan, request.role, model, key, sampling_context(context))\n",
            (
                "            exact = contribute(site, plan, request.role, model, key, sampling_context(context))\n"
                '            _LOG.debug("%s: loss %d", site.institution, int(np.abs(exact).sum()))\n'
            ),
        ),
    ),
    # Who is let in.
    _mutant(
        "mask-without-identities",
        "a pair's mask does not depend on who the pair is",
        "default",
        "tests/fedcredit/secure_aggregation/test_masks.py::test_a_pair_key_is_bound_to_both_members",
        (
            "fedcredit/secure_aggregation/masks.py",
            "lower.institution.encode(),\n        higher.institution.encode(),",
            'b"",\n        b"",',
        ),
    ),
    _mutant(
        "no-witnesses",
        "nobody is asked whether the ledger is the newest",
        "unwitnessed",
        "tests/fedcredit/custodian/test_witness.py::test_two_others_must_have_signed_the_same_joins",
        (
            "fedcredit/custodian/agreements.py",
            "guard_witnesses(plan, self._site.institution, pairs.transcript, request.witnesses, self._ledger)",
            "guard_witnesses  # not called",
        ),
    ),
    _mutant(
        "no-approval",
        "a plan is joined that the operator has not approved",
        "unapproved",
        "tests/fedcredit/custodian/test_approvals.py::test_a_plan_waits_until_it_is_approved",
        (
            "fedcredit/custodian/open_jobs.py",
            "if self._approvals is None:\n            return {}",
            "if self._approvals is not self:\n            return {}",
        ),
    ),
    _mutant(
        "epochs-overlap",
        "a unit of an earlier epoch gets a second budget",
        "old_units",
        "tests/fedcredit/custodian/test_ledger_faults.py::test_units_of_an_earlier_epoch_are_refused_at_join",
        (
            "fedcredit/privacy/ledger_units.py",
            "if np.intersect1d(units.hashes, unit_set(known.earlier), assume_unique=True).size:",
            "if np.intersect1d(units.hashes, unit_set(known.earlier), assume_unique=True).size < 0:",
        ),
    ),
    _mutant(
        "any-module",
        "a plan's own code runs beside the records",
        "unlisted_module",
        "tests/fedcredit/custodian/test_guard_modules.py::test_a_module_taken_off_the_list_is_refused_after_a_restart",
        (
            "fedcredit/custodian/guard_modules.py",
            "if site.modules.get(model.module) != model.source_sha256:",
            "if site.modules.get(model.module) == model:",
        ),
    ),
)
