"""Secret keys in files: hex digits that no other account may read."""

import pytest

from fedcredit.errors import ConfigError
from fedcredit.key_files import load_data_key, load_pair_key, make_pair_key

LOADERS = {"data key": load_data_key, "pair key": load_pair_key}


def test_a_pair_key_is_drawn_anew_and_kept_close(tmp_path):
    for name in ("one.key", "two.key"):
        make_pair_key(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    one, two = (load_pair_key(tmp_path / name) for name in ("one.key", "two.key"))
    assert one != two
    assert len(one) == 32
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        make_pair_key(tmp_path / "one.key")


@pytest.mark.parametrize("what", LOADERS)
def test_either_key_is_hex_digits_that_nobody_else_reads(tmp_path, what):
    load, path = LOADERS[what], tmp_path / "some.key"
    with pytest.raises(ConfigError, match=rf"{what} .* does not exist; .*fedcredit"):
        load(path)
    path.touch(mode=0o600)
    path.write_text("Ab" * 32 + "\n")
    assert load(path) == b"\xab" * 32
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match=rf"{what} .* is open to other accounts; run: chmod 600"):
            load(path)
    path.chmod(0o600)
    for text in ("", "ab", "zz" * 32, "ab " * 32, "ab" * 33, "é" * 64):
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"{what} .* is not 64 hex digits"):
            load(path)
