import os
import resource
from contextlib import contextmanager

import pytest

from fedcredit.errors import ConfigError
from fedcredit.package.storage import write_package
from fedcredit.provisioning.new_files import SECRET, NewFile, require_absent, write_file, write_new

FILES = {"a.yaml": NewFile(b"a"), "keys/b": NewFile(b"b", SECRET), "tls/c": NewFile(b"c")}


def test_modes_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_new(tmp_path / "new", FILES)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*")}
    assert modes == {"a.yaml": 0o644, "keys": 0o700, "b": 0o600, "tls": 0o755, "c": 0o644}


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_written_where_one_file_exists(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        write_new(tmp_path, FILES)
    assert (tmp_path / name).read_bytes() == b"old"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_a_link_to_nowhere_is_something(tmp_path):
    (tmp_path / "a.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        require_absent(tmp_path / "a.yaml")


def test_a_failure_leaves_no_part_behind(tmp_path):
    (tmp_path / "tls").write_bytes(b"a file where a folder should be")
    with pytest.raises(ConfigError, match="cannot be written to"):
        write_new(tmp_path, FILES)
    assert not (tmp_path / "a.yaml").exists()
    assert not (tmp_path / "keys" / "b").exists()


@contextmanager
def no_file_above(most_bytes):
    """As a full disk: what is written stops in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_file_is_written_whole_or_not_at_all(tmp_path):
    with no_file_above(100), pytest.raises(ConfigError, match="a cannot be written"):
        write_file(tmp_path / "a", b"." * 1000)
    assert not list(tmp_path.iterdir())
    write_file(tmp_path / "a", b"." * 1000)
    with pytest.raises(ConfigError, match="a exists already and is never overwritten"):
        write_file(tmp_path / "a", b"other")
    assert (tmp_path / "a").read_bytes() == b"." * 1000


def test_a_secret_file_is_nobody_elses_and_another_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "secret", b"", secret=True)
        write_file(tmp_path / "plain", b"")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"secret": 0o600, "plain": 0o640}


@pytest.mark.parametrize("name", ["package", "package.zip"])
def test_a_package_that_the_disk_does_not_hold_leaves_nothing(tmp_path, name):
    files = {"package.json": b"{}", "model.json": os.urandom(5000)}
    with no_file_above(1000), pytest.raises(ConfigError, match=f"{name} cannot be written"):
        write_package(files, tmp_path / name)
    assert not list(tmp_path.iterdir())
    write_package(files, tmp_path / name)
