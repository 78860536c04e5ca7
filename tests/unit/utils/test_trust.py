"""Code is loaded only from where nobody else could have put it."""

import os

import pytest

from mindlong.ops.native import build
from mindlong.utils.trust import distrust


def test_an_own_folder_is_trusted_whether_it_exists_or_not(tmp_path):
    assert distrust(tmp_path) is None and distrust(tmp_path / "a/b/kernels.so") is None


@pytest.mark.parametrize("where", ["file", "folder", "above"])
def test_what_others_can_write_is_not(tmp_path, where):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.so").touch()
    {"file": folder / "x.so", "folder": folder, "above": tmp_path / "a"}[where].chmod(0o777)
    assert "can be written by other users" in distrust(folder / "x.so")


def test_links_are_followed(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "cache").symlink_to(tmp_path / "open")
    assert "can be written by other users" in distrust(tmp_path / "cache/x.so")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another owner")
@pytest.mark.parametrize("planted", [True, False])
def test_a_planted_library_is_not_taken(tmp_path, monkeypatch, planted, caplog):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    cache.chmod(0o755 if planted else 0o777)
    monkeypatch.setenv("MINDLONG_CACHE", str(cache))
    source = tmp_path / "small.cc"
    source.write_text('extern "C" int one() { return 1; }')
    name = f"small-{build._key(source, ('-shared', '-fPIC'), build.compiler())}.so"
    if planted:
        (cache / name).write_bytes(b"not what was built")
        os.chown(cache / name, 65534, 65534)
    found = build.build(source, ("-shared", "-fPIC"))
    assert found.parent != cache and found.parent.stat().st_mode & 0o777 == 0o700
    assert "are not used, because" in caplog.text
    assert [p.name for p in cache.iterdir()] == [name] * planted


def test_an_unwritable_cache_is_a_reason_to_do_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "file" / "in"))
    with pytest.raises(build.BuildError, match="is a file.*MINDLONG_CACHE names a folder"):
        build.build()
