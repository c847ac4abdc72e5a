"""SITE.yaml's ``kernel``: what it needs is said when the site is read."""

import pytest

from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.errors import ConfigError
from fedcredit.models import mlp_kernel


def test_the_site_computes_with_numpy_unless_it_says_otherwise(site):
    assert load_site(load_site_file(site.file)).kernel == "numpy"
    pytest.importorskip("numba")
    site.change("SITE.yaml", kernel="compiled")
    assert load_site(load_site_file(site.file)).kernel == "compiled"


def test_a_kernel_that_is_not_installed_is_refused_at_the_start(site, monkeypatch):
    site.change("SITE.yaml", kernel="compiled")
    monkeypatch.setattr(mlp_kernel, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs numba; run: pip install 'fedcredit\[fast\]'"):
        load_site(load_site_file(site.file))
