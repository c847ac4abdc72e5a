"""The guard on code: which torch modules may run beside this institution's records.

An import path in a plan is a coordinator's wish to run a class here. Only what the institution's own SITE.yaml lists,
by path and by hash of the file that its reviewer has read, is looked for at all; data that are public change nothing.
"""

from fedcredit.custodian.site import Site
from fedcredit.errors import ConfigError, RefusalError
from fedcredit.models.module_source import require_neural
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.plan import Plan


def guard_module(site: Site, plan: Plan) -> None:
    """Check a plan's import path and hash before anything of it is imported.

    Raises
    ------
    RefusalError
        If the site does not list this file, or lacks what it needs to run.
    """
    model = plan.model
    if not isinstance(model, ModuleSpec):
        return
    if site.modules.get(model.module) != model.source_sha256:
        raise RefusalError(
            "module",
            f"module {model.module} with sha256 {model.source_sha256} is not on this site's list; once it is reviewed, "
            "add both to modules in SITE.yaml.",
        )
    try:
        require_neural()
    except ConfigError as error:
        raise RefusalError("module", str(error)) from error
