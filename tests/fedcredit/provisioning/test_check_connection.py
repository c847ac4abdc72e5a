"""Every way in which a connection can fail, against real servers."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.node_file import NodeFile
from fedcredit.provisioning.certificates import (
    SERVER_DAYS,
    Authority,
    ServerCertificate,
    make_authority,
    make_server_certificate,
)
from fedcredit.provisioning.check_connection import connection_rows
from fedcredit.provisioning.checks import Verdict
from tests.fedcredit.provisioning.https_servers import https, proxy

NOW = datetime.now(UTC)
OK, FAILED, SKIPPED = Verdict.OK, Verdict.FAILED, Verdict.SKIPPED
OURS, OTHERS = make_authority("ours", NOW), make_authority("inspecting proxy", NOW)


def certificate(authority: Authority = OURS, host: str = "127.0.0.1", now: datetime = NOW) -> ServerCertificate:
    return make_server_certificate(authority, (host,), now)


def look(folder: Path, port: int, *, ca: bytes = OURS.certificate, clock=lambda: datetime.now(UTC), **node: object):
    (folder / "ca.pem").write_bytes(ca)
    fields = {
        "superlink": f"127.0.0.1:{port}",
        "root_certificates": folder / "ca.pem",
        "node_key": folder / "node",
        "custodian": "custodian.sock",
        "bundles": [],
        "state": folder,
        **node,
    }
    rows = connection_rows(NodeFile.model_validate(fields), clock)
    assert [row.check for row in rows] == ["network", "TLS", "coordinator", "clock"]
    return {row.check: row for row in rows}


def verdicts(rows) -> list[Verdict]:
    return [row.verdict for row in rows.values()]


def test_a_good_connection_passes_all_four(tmp_path):
    with https(tmp_path, certificate()) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, OK, OK, OK]
    assert "issued by ours CA for 127.0.0.1, valid to" in rows["TLS"].text


def test_a_closed_port_is_the_network_and_nothing_else(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        rows = look(tmp_path, taken.getsockname()[1])
    assert verdicts(rows) == [FAILED, SKIPPED, SKIPPED, SKIPPED]
    assert "cannot be reached (Connection refused); allow it in the firewall" in rows["network"].text


def test_an_unknown_name_is_the_network(tmp_path):
    rows = look(tmp_path, 9443, superlink="no-such-host.invalid:9443")
    assert rows["network"].verdict is FAILED


def test_a_certificate_of_another_ca_names_its_issuer(tmp_path):
    with https(tmp_path, certificate(OTHERS)) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert "was issued by 'inspecting proxy CA', for whom" in rows["TLS"].text
    assert "your own proxy that inspects TLS" in rows["TLS"].text


def test_a_ca_of_the_same_name_does_not_pass(tmp_path):
    with https(tmp_path, certificate()) as port:
        rows = look(tmp_path, port, ca=make_authority("ours", NOW).certificate)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]


def test_the_proxys_ca_added_to_the_file_passes(tmp_path):
    with https(tmp_path, certificate(OTHERS)) as port:
        rows = look(tmp_path, port, ca=OURS.certificate + OTHERS.certificate)
    assert verdicts(rows) == [OK, OK, OK, OK]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW - timedelta(days=SERVER_DAYS + 1), "ask its operator to renew it, or set this clock"),
        (NOW + timedelta(days=1), "set this machine's clock by NTP"),
    ],
    ids=["expired", "not yet valid"],
)
def test_a_certificate_out_of_date_says_from_when_to_when(tmp_path, now, words):
    with https(tmp_path, certificate(now=now)) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert words in rows["TLS"].text
    assert f"{now - timedelta(hours=1):%Y-%m-%d}" in rows["TLS"].text


@pytest.mark.parametrize("host", ["127.0.0.2", "consortium.example"])
def test_a_certificate_for_another_name_says_for_which(tmp_path, host):
    with https(tmp_path, certificate(host=host)) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert f"is not for 127.0.0.1 but for {host}" in rows["TLS"].text


def test_a_certificate_that_ends_soon_passes_with_a_word(tmp_path):
    with https(tmp_path, certificate(now=NOW - timedelta(days=SERVER_DAYS - 10))) as port:
        rows = look(tmp_path, port)
    assert rows["TLS"].verdict is OK
    assert "days: the operator should renew it" in rows["TLS"].text


def test_a_port_without_tls_is_named(tmp_path):
    with https(tmp_path, None) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert "does not speak TLS as expected" in rows["TLS"].text


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(3.5, OK), (7, FAILED), (86_400, FAILED), (-60, OK), (-300, OK), (-308, FAILED)],
)
def test_the_clock_may_differ_by_what_flower_accepts(tmp_path, seconds, verdict):
    """Only the server's clock is moved: certificates are looked at by this machine's."""
    with https(tmp_path, certificate(), clock=datetime.now(UTC) - timedelta(seconds=seconds)) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, OK, OK, verdict]
    assert ("ahead of" if seconds > 0 else "behind") in rows["clock"].text
    assert ("NTP" in rows["clock"].text) == (verdict is FAILED)


@pytest.mark.parametrize("status", [404, 502])
def test_another_server_at_that_port_is_seen(tmp_path, status):
    with https(tmp_path, certificate(), status=status) as port:
        rows = look(tmp_path, port)
    assert verdicts(rows) == [OK, OK, FAILED, OK]
    assert f"answers /health with status {status}" in rows["coordinator"].text


@pytest.mark.parametrize(("name", "words"), [("none.pem", "does not exist"), ("ca.txt", "no certificate in PEM")])
def test_the_ca_file_is_named_when_it_is_none(tmp_path, name, words):
    (tmp_path / "ca.txt").write_text("no PEM")
    with https(tmp_path, certificate()) as port:
        rows = look(tmp_path, port, root_certificates=tmp_path / name)
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert words in rows["TLS"].text


def test_the_way_leads_through_the_proxy_alone(tmp_path):
    seen: list[bytes] = []
    with https(tmp_path, certificate()) as port, proxy(seen) as through:
        rows = look(tmp_path, port, proxy=f"http://user:p%40ss@127.0.0.1:{through}")
    assert verdicts(rows) == [OK, OK, OK, OK]
    assert len(seen) == 2
    assert all(head.startswith(f"CONNECT 127.0.0.1:{port} ".encode()) for head in seen)
    assert all(b"Proxy-Authorization: Basic dXNlcjpwQHNz" in head for head in seen)  # user:p@ss
    assert "p%40ss" not in "".join(row.text for row in rows.values())


def test_a_proxy_that_refuses_is_told_what_to_allow(tmp_path):
    with proxy([], refuses=True) as through:
        rows = look(tmp_path, 9443, proxy=f"http://127.0.0.1:{through}")
    assert verdicts(rows) == [FAILED, SKIPPED, SKIPPED, SKIPPED]
    assert "have the proxy allow CONNECT to 127.0.0.1:9443" in rows["network"].text


def test_a_proxy_that_inspects_tls_is_recognised(tmp_path):
    (tmp_path / "inspector").mkdir()
    with (
        https(tmp_path / "inspector", certificate(OTHERS)) as inspector,
        proxy([], to=inspector) as through,
    ):
        rows = look(tmp_path, 9443, proxy=f"http://127.0.0.1:{through}")
    assert verdicts(rows) == [OK, FAILED, SKIPPED, SKIPPED]
    assert "add its CA's certificate to that file; if not, do not connect" in rows["TLS"].text
