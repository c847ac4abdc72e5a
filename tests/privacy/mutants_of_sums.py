"""Mutants of what is summed and of the noise on it; `mutant_table` holds all."""

from tests.privacy.mutant import mutant

CUSTODIAN = "fedcredit/custodian/custodian.py"
NOISE = "fedcredit/custodian/noise.py"


OF_SUMS = (
    # The noise.
    mutant(
        "half-noise",
        "the noise has half its scale",
        "default",
        "tests/fedcredit/custodian/test_mutants.py::test_halved_noise_is_noticed",
        (NOISE, "rounded_gaussian.bytes_needed(size)))", "rounded_gaussian.bytes_needed(size))) // 2"),
    ),
    mutant(
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
    mutant(
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
    mutant(
        "share-by-plan",
        "a share is sized by the plan's members, not by the attempt's",
        "drop",
        "tests/privacy/test_message_noise.py::test_every_draw_is_the_exact_samplers_for_this_message",
        (CUSTODIAN, "request.role, len(request.members))", "request.role, len(plan.members))"),
    ),
    mutant(
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
    mutant(
        "seeded-key",
        "the noise key is a constant",
        "default",
        "tests/fedcredit/privacy/test_bits.py::test_other_contexts_and_other_sources_share_nothing",
        ("fedcredit/privacy/bits.py", "bytearray(os.urandom(KEY_BYTES))", 'bytearray(b"a constant".ljust(KEY_BYTES))'),
    ),
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
        "compiled-unclipped",
        "compiled code does not clip, and is not compared with NumPy's before it is used",
        "compiled_clip",
        "tests/fedcredit/models/test_mlp_compiled.py::test_norms_are_held_alike_at_the_radius_and_beyond",
        (
            "fedcredit/models/mlp_compiled.py",
            "factors = scale * (within / np.maximum(np.sqrt(norms), within))",
            "factors = scale * np.ones_like(within)",
        ),
        (
            "fedcredit/models/mlp_compiled.py",
            "if not (fits[record] and totals[record] <= radii[record] ** 2):",
            "if totals[record] < 0:",
        ),
        ("fedcredit/models/mlp_kernel.py", "if not _agree(sums,", "if None is _agree(sums,"),
    ),
    mutant(
        "root-of-k",
        "the sensitivity of k records of a person is √k of one's",
        "person",
        "tests/fedcredit/custodian/test_neighbour_replay.py::test_a_person_at_the_cap_changes_no_more_than_what_is_charged",
        ("fedcredit/terms.py", "per_unit = records_per_unit**2", "per_unit = records_per_unit"),
    ),
    mutant(
        "groupings-uncounted",
        "the evaluation's sensitivity lacks √G",
        "groupings",
        "tests/privacy/test_neighbour_replay_raw.py::test_both_roles_and_the_whole_sensitivity_are_reached",
        ("fedcredit/terms.py", "COUNT_SCALE**2 * len(evaluation.groupings)", "COUNT_SCALE**2"),
    ),
    mutant(
        "linked-row-twice",
        "a linked record is counted twice",
        "linked",
        "tests/fedcredit/models/test_joint_family.py::test_a_record_changes_one_cell_by_one_and_a_label_two",
        ("fedcredit/models/joint_model.py", "np.bincount(place, ", "np.bincount(np.r_[place, place], "),
    ),
    mutant(
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
    mutant(
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
    mutant(
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
)
