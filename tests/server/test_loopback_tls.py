"""The certificate of loopback: good for 127.0.0.1, kept, renewed in time, its key the operator's alone."""

from datetime import timedelta
from pathlib import Path

import pytest

from server.certificate_check import certificate_problems
from server.loopback_tls import LoopbackTls


def test_clients_that_trust_it_accept_it(tmp_path: Path) -> None:
    tls = LoopbackTls(tmp_path / "loopback")
    assert certificate_problems(tls.certificate, tls.key, tls.authority) == []
    assert tls.key.stat().st_mode & 0o077 == 0


def test_it_is_kept_until_it_is_about_to_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = LoopbackTls(tmp_path).certificate.read_bytes()
    assert LoopbackTls(tmp_path).certificate.read_bytes() == first
    monkeypatch.setattr("server.loopback_tls._RENEW", timedelta(days=4000))
    assert LoopbackTls(tmp_path).certificate.read_bytes() != first


def test_one_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    LoopbackTls(tmp_path).authority.unlink()
    tls = LoopbackTls(tmp_path)
    assert certificate_problems(tls.certificate, tls.key, tls.authority) == []
