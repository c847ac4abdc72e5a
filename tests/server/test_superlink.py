"""What is assumed of the private parts of Flower that serve its paths."""

import inspect
from pathlib import Path

import pytest
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.superlink.main import create_app

from server.fleet_guard import is_fleet_request
from server.loopback_tls import HOST, LoopbackTls
from server.superlink import listeners
from tests.certificates import authority


def test_the_parser_reads_the_command_line_and_the_app_takes_its_result() -> None:
    assert list(inspect.signature(_parse_superlink_lifespan_config).parameters) == []
    assert list(inspect.signature(create_app).parameters) == ["config", "superlink_lifespan_class"]


def test_two_listeners_one_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x"])
    tls = LoopbackTls(tmp_path / "loopback")
    certificate, key = authority().issue(tmp_path)
    arguments = ["--host", HOST, "--port", "8123", "--isolation", "process", "--enable-supernode-auth"]
    arguments += ["--ssl-certfile", str(tls.certificate), "--ssl-keyfile", str(tls.key)]
    arguments += ["--ssl-ca-certfile", str(tls.authority)]
    inside, outside = listeners(("0.0.0.0", 9123, str(certificate), str(key)), arguments)
    assert (inside.config.host, inside.config.port) == (HOST, 8123)
    assert (outside.config.host, outside.config.port) == ("0.0.0.0", 9123)
    assert outside.config.ssl_certfile == str(certificate)
    application = inside.config.app
    assert application.state.enable_supernode_auth is True
    assert outside.config.app is not application

    paths: dict[str, dict[str, object]] = application.openapi()["paths"]
    passed = {
        path
        for path, methods in paths.items()
        for method in methods
        if is_fleet_request({"type": "http", "method": method.upper(), "raw_path": path.encode()})
    }
    assert passed == {path for path in paths if path.startswith("/v1/fleet/")} | {"/health"}
    assert len(passed) > 5
    assert {path for path in paths if path.startswith("/v1/control/")}
    assert {path for path in paths if path.startswith("/v1/runtime/")}
