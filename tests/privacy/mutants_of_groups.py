"""Mutants of group labels and of monitoring jobs; `mutant_table` holds all."""

from tests.privacy.mutant import mutant

CUSTODIAN = "fedcredit/custodian/custodian.py"
MONITOR = "fedcredit/models/monitor_family.py"


OF_GROUPS = (
    mutant(
        "group-counts-bare",
        "counts by group leave without noise",
        "labelled_job",
        "tests/privacy/test_groups_and_monitors.py::test_every_count_by_group_has_its_own_noise",
        (
            CUSTODIAN,
            "            return self._where_noisy(plan, request.role, np.add(exact, noise))\n",
            (
                "            if request.role is Role.EVALUATE:\n"
                "                noise[2 * plan.evaluation.score_bins * len(site.dictionary.kinds) :] = 0\n"
                "            return self._where_noisy(plan, request.role, np.add(exact, noise))\n"
            ),
        ),
    ),
    mutant(
        "label-unasked",
        "a plan counts a group label that the policy does not name",
        "unnamed_label",
        "tests/fedcredit/custodian/test_group_labels.py::"
        "test_a_plan_that_counts_a_label_needs_the_policys_word_and_no_pack_stands_in_its_way",
        (
            "fedcredit/custodian/group_labels.py",
            "if group.name not in policy.bias_examination)",
            "if group.name in ())",
        ),
    ),
    mutant(
        "label-as-feature",
        "a column for the examination of bias is accepted as a feature",
        "label_as_feature",
        "tests/fedcredit/dictionary/test_groups.py::test_what_is_held_to_examine_bias_is_no_feature",
        (
            "fedcredit/dictionary/contract.py",
            'if _is_bias_examination(f.get("purpose"))',
            'if _is_bias_examination(f.get("no such field"))',
        ),
    ),
    mutant(
        "small-cells-judged",
        "a group of a few records is judged",
        "small_groups",
        "tests/fedcredit/evaluation/test_groups_and_stability.py",
        (
            "fedcredit/evaluation/fairness.py",
            "return self.n_rows < max(fewest + _SURE_MULTIPLES * of_total, _NOISE_MULTIPLES * of_total)",
            "return self.n_rows < min(0.0, fewest, of_total)",
        ),
    ),
    mutant(
        "monitor-for-nothing",
        "a monitoring job's messages cost next to nothing",
        "monitoring_job",
        "tests/privacy/test_groups_and_monitors.py::test_every_message_of_a_monitoring_job_is_charged",
        (
            CUSTODIAN,
            "mechanism=mechanism(plan, site.kind, request.role),",
            (
                "mechanism=(lambda own: type(own)(1, *[getattr(own, name) for name in own.__slots__[1:]])\n"
                "            if plan.model.family == 'monitor' else own)(mechanism(plan, site.kind, request.role)),"
            ),
        ),
    ),
    mutant(
        "monitor-understated",
        "the noise of a monitoring job is sized for half a record",
        "monitoring_job",
        "tests/fedcredit/models/test_monitor_family.py::test_a_record_is_one_count_and_so_is_its_sensitivity",
        (
            MONITOR,
            "dict.fromkeys(dictionary.kinds, COUNT_SCALE**2)",
            "dict.fromkeys(dictionary.kinds, COUNT_SCALE**2 // 4)",
        ),
    ),
    mutant(
        "monitor-any-model",
        "a monitoring job scores another model than its approved plan holds",
        "monitored_otherwise",
        "tests/fedcredit/models/test_monitor_family.py::test_a_custodian_scores_no_other_model_than_the_plans",
        (MONITOR, "if model != spec.model_bytes:", "if not model:"),
    ),
)
