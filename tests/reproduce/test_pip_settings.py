"""What pip is configured with, and how uv is told of it."""

import os

from tracker.reproduce.pip_settings import (
    pip_settings,
    settings_digest,
    uses_no_index,
    uv_variables,
    without_passwords,
)


def told(tmp_path, **variables):
    """Variables of a user whose home is below `tmp_path`, and who has no configuration but what is there."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **variables}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_nearer_file_wins_and_install_wins_over_global(tmp_path):
    write(tmp_path / "xdg/pip/pip.conf", "[global]\nproxy = http://all:1\ntrusted-host = a\n")
    write(tmp_path / ".config/pip/pip.conf", "[global]\nproxy = http://mine:2\n[install]\nretries = 3\n")
    write(tmp_path / "venv/pip.conf", "[install]\nproxy = http://venv:3\n[global]\nproxy = http://lost:4\n")
    settings = pip_settings(told(tmp_path), str(tmp_path / "venv"))

    assert settings["proxy"] == "http://venv:3"
    assert settings["trusted-host"] == "a"
    assert "retries" not in settings


def test_variables_win_over_files_and_a_named_file_over_others(tmp_path):
    write(tmp_path / ".pip/pip.conf", "[global]\nproxy = http://file:1\nfind-links = /there\n")
    write(tmp_path / "named.conf", "[global]\nproxy = http://named:2\ntimeout = 7.4\n")
    named = told(tmp_path, PIP_CONFIG_FILE=str(tmp_path / "named.conf"))

    assert pip_settings(named, str(tmp_path))["proxy"] == "http://named:2"
    assert pip_settings({**named, "PIP_PROXY": "http://said:3"}, str(tmp_path))["proxy"] == "http://said:3"
    assert pip_settings({**named, "PIP_DEFAULT_TIMEOUT": "9"}, str(tmp_path))["timeout"] == "9"


def test_no_file_is_read_when_pip_reads_none_and_a_damaged_one_is_passed_over(tmp_path):
    write(tmp_path / ".config/pip/pip.conf", "[global]\nproxy = http://file:1\n")
    nothing = pip_settings(told(tmp_path, PIP_CONFIG_FILE=os.devnull), str(tmp_path))
    write(tmp_path / ".config/pip/pip.conf", "no section\n")

    assert nothing == {}
    assert "proxy" not in pip_settings(told(tmp_path), str(tmp_path))


def test_uv_looks_where_pip_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {
        "index-url": "https://one/simple/",
        "extra-index-url": "https://two/simple\nfile:///three",
        "find-links": "wheels https://four/links",
        "cert": "/etc/ca.pem",
        "timeout": "2.6",
        "trusted-host": "five\nsix",
    }

    assert uv_variables(settings, {}) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://one/simple",
        "UV_INDEX": "https://two/simple file:///three",
        "UV_FIND_LINKS": f"{tmp_path / 'wheels'},https://four/links",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_HTTP_TIMEOUT": "3",
        "UV_INSECURE_HOST": "five six",
    }


def test_what_the_user_told_uv_itself_stays(tmp_path):
    own = {"UV_DEFAULT_INDEX": "https://mine", "UV_INDEX": "https://more", "SSL_CERT_FILE": "/mine.pem"}
    found = uv_variables({"index-url": "https://one", "extra-index-url": "https://two", "cert": "/x"}, own)

    assert "UV_DEFAULT_INDEX" not in found
    assert "SSL_CERT_FILE" not in found
    assert found["UV_INDEX"] == "https://more https://two"


def test_no_index_is_understood_in_every_way_pip_writes_it():
    assert uses_no_index({"no-index": "1"})
    assert uses_no_index({"no-index": "True"})
    assert not uses_no_index({"no-index": "false"})
    assert not uses_no_index({})


def test_passwords_are_neither_told_nor_part_of_the_name_of_settings():
    one = {"index-url": "https://user:hunter2@host/simple", "proxy": "http://me:secret@proxy"}
    other = {"index-url": "https://other:words@host/simple"}

    assert settings_digest(one) == settings_digest(other)
    assert settings_digest(one) != settings_digest({"index-url": "https://elsewhere/simple"})
    assert (
        without_passwords("error: https://user:hunter2@host/simple/x failed") == "error: https://host/simple/x failed"
    )
