"""Mutants of what is charged, of what leaves besides the sums, and of who is let in; `mutant_table` holds all."""

from tests.privacy.mutant import mutant

CUSTODIAN = "fedcredit/custodian/custodian.py"


OF_CHARGES = (
    # The charge.
    mutant(
        "steps-charged-as-one",
        "K steps of an institution's own cost what one costs",
        "local_steps",
        "tests/fedcredit/custodian/test_local_steps.py::test_all_steps_are_charged_in_one_event",
        ("fedcredit/privacy/statement.py", "terms.sampling_rate, terms.local_steps", "terms.sampling_rate, 1"),
    ),
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
        "delta-for-each-job",
        "each job uses the δ of integer noise anew, however many jobs a ledger pays for",
        "cheap",
        "tests/fedcredit/custodian/test_integer_delta.py",
        (
            "fedcredit/custodian/guard.py",
            "Fraction(whole * SAMPLER_SHARE) * cost:",
            "Fraction(whole * SAMPLER_SHARE) * budget:",
        ),
    ),
    mutant(
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
    mutant(
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
