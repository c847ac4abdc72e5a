"""The public constants of each model family, as they stand in a plan."""



from fedcredit.models.scorecard_spec import ScorecardSpec


ModelSpec = ScorecardSpec
