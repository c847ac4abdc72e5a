from simulations.run import in_process


def runner_of(runtime):
    return in_process
