"""How the page is started: for this machine alone, or with users; nothing secret is printed."""

import builtins
import socket

import pytest
from app_places import place_in

from mindlong.app import passwords as doors
from mindlong.app import serve, trainings
from mindlong.app.passwords import VARIABLE, Gate
from mindlong.cli.app import main
from mindlong.cli.guard import start
from mindlong.training import metrics
from mindlong.utils.errors import ConfigError, UserError

SECRET = "correct horse battery"


@pytest.fixture
def served(monkeypatch):
    """What the page would be shown with."""
    asked = []
    monkeypatch.setattr(serve, "serve", lambda *given: asked.append(given) or 0)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    return asked


def test_it_is_shown_on_this_machine_alone(served, tmp_path):
    assert main(["--home", str(tmp_path / "page")]) == 0
    place, host, port, known = served[0]
    assert (host, port, known) == ("127.0.0.1", 0, {}) and place.jobs == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.20", "::", "example.org", "127.0.0.2"])
def test_another_address_needs_a_user_and_a_password(served, capsys, host):
    assert start("app", ["--host", host]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --host") and "--user" in said and len(said.splitlines()) == 1
    assert start("app", ["--host", host, "--user", "anna"]) == 2
    said = capsys.readouterr().err
    assert "needs a password" in said and len(said.splitlines()) == 1 and not served


def test_passwords_come_from_a_file_or_the_environment_and_are_not_printed(
    served, capsys, tmp_path, monkeypatch
):
    file = tmp_path / "secret"
    file.write_text(f"anna:{SECRET}\nboris:another one\n")
    both = ["--host", "0.0.0.0", "--user", "anna", "--user", "boris", "--password_file", str(file)]
    assert main(both) == 0
    assert served[-1][3] == {"anna": SECRET, "boris": "another one"}
    file.write_text(f"{SECRET}\n")
    assert main(["--user", "anna", "--password_file", str(file)]) == 0
    assert served[-1][3] == {"anna": SECRET}
    monkeypatch.setenv(VARIABLE, SECRET)
    assert main(["--host", "0.0.0.0", "--user", "anna"]) == 0
    out = capsys.readouterr()
    assert SECRET not in out.out + out.err


@pytest.mark.parametrize(
    ("text", "users", "said"),
    [
        ("short\n", ["anna"], "less than 8 letters"),
        ("", ["anna"], "has no password"),
        ("anna:correct horse\n", ["anna", "boris"], "boris has no password"),
        ("anna:correct horse\n", ["anna", "anna"], "given once"),
        ("x:y:correct horse\n", ["x:y"], "no colon"),
    ],
)
def test_a_user_without_a_good_password_is_refused(tmp_path, text, users, said):
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        doors.passwords(users, str(tmp_path / "secret"))
    assert not text.strip() or text.strip() not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--password_file", "x"], 2),
        (["--user", "a", "--password_file", "/nowhere"], 3),
        (["--jobs", "0"], 2),
        (["--port", "70000"], 2),
        (["--port", "some"], 2),
    ],
)
def test_what_cannot_be_is_one_sentence(served, capsys, words, code):
    assert start("app", words) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said.splitlines()) == 1


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    words = ["--home", str(tmp_path / "page"), "--trainings", str(tmp_path / "none")]
    assert start("app", words) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_without_gradio_the_sentence_says_what_installs_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "gradio":
            raise ModuleNotFoundError("No module named 'gradio'", name="gradio")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in (*serve.QUIET, "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    with pytest.raises(UserError, match=r"pip install '\.\[app\]'"):
        serve.gradio_quietly(place_in(tmp_path))


def test_an_address_that_is_taken_is_named():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        with pytest.raises(ConfigError, match="cannot be taken"):
            serve._bound("127.0.0.1", held.getsockname()[1])


def test_a_name_that_is_tried_too_often_has_to_wait():
    now = [0.0]
    gate = Gate({"anna": SECRET}, clock=lambda: now[0])
    assert gate("anna", SECRET) and not gate("boris", "") and not gate("anna", "")
    for _ in range(doors.TRIES):
        assert not gate("anna", "wrong")
    assert not gate("anna", SECRET)
    now[0] = doors.PAUSE + 1
    assert gate("anna", SECRET)


def test_trainings_are_found_and_drawn(tmp_path):
    place = place_in(tmp_path)
    folder = place.trainings[0] / "shapes" / "first"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("task: pixel\n")
    rows = [f"{n},{1 / n},{0.5},{1e-3},0,4.0,0.1,900" for n in range(1, 4)]
    (folder / metrics.FILE).write_text(
        "\n".join([",".join(metrics.COLUMNS), *rows, "4,0.2"]) + "\n"
    )
    (found,) = trainings.trainings_of(place)
    assert found.name == "trainings/shapes/first" and len(found.rows()) == 3
    assert ["step", "3"] in found.facts(found.rows())
    before = found.stamp()
    assert trainings.drawn(found.rows()).startswith(b"\x89PNG")
    (folder / "previews").mkdir()
    (folder / "previews" / "step-3.png").write_bytes(b"x")
    (folder / "previews" / "link.png").symlink_to("/etc/passwd")
    assert [p.name for p in found.previews()] == ["step-3.png"] and found.stamp() != before
