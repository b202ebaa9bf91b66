"""Hashes out of the lock files of a project."""

from tracker.reproduce.lockfiles import read_locks

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def test_all_kinds_of_lock_files_are_read(tmp_path):
    (tmp_path / "uv.lock").write_text(
        'version = 1\n[[package]]\nname = "One_Thing"\nversion = "1.0"\n'
        f'sdist = {{ url = "u", hash = "sha256:{A}" }}\nwheels = [{{ url = "u", hash = "sha256:{B}" }}]\n'
    )
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\n[[packages]]\nname = "two"\nversion = "2.0"\n'
        f'[[packages.wheels]]\nname = "two.whl"\nhashes = {{ sha256 = "{C}" }}\n'
    )
    (tmp_path / "requirements.txt").write_text(
        f"three==3.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\nfour==4\n"
    )
    locked = read_locks(tmp_path)

    assert locked.files == ("pylock.toml", "uv.lock", "requirements.txt")
    assert locked.hashes == {("one-thing", "1.0"): (B, A), ("two", "2.0"): (C,), ("three", "3.0"): (A, B)}


def test_files_without_hashes_damaged_ones_and_links_are_passed_over(tmp_path):
    (tmp_path / "elsewhere.lock").write_text(f'[[package]]\nname="x"\nversion="1"\nsdist={{hash="sha256:{A}"}}\n')
    (tmp_path / "uv.lock").symlink_to(tmp_path / "elsewhere.lock")
    (tmp_path / "pylock.toml").write_text("[[packages\n")
    (tmp_path / "pylock.dev.toml").write_text('packages = [1, {name = "y"}]\npackage = "x"\n')
    (tmp_path / "requirements.txt").write_text("six==1.0\n")
    locked = read_locks(tmp_path)

    assert locked.files == ()
    assert locked.hashes == {}


def test_only_digests_come_out_of_a_lock_file(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        f"six==1.0 --hash=sha256:{A} --index-url https://evil --hash=sha256:zz\n"
    )

    assert read_locks(tmp_path).hashes == {("six", "1.0"): (A,)}
