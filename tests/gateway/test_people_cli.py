"""`taipu sign-in`, `person` and `proposal`: from the codes that `init` prints to two people who let in a third."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pyotp
import pytest

from gateway.cli.at_home import session_file
from schemas.times import now_millis
from tests.gateway.commands import refused, taipu, taipu_json
from tests.people import PASSWORD
from tests.world import QINGPU


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def made(tmp_path):
    """A new home, and the two codes that were printed."""
    done = taipu("init", tmp_path / "home", "--party", QINGPU, "--url", "https://gateway.qingpu.example")
    assert done.exit_code == 0, done.output
    codes = [line.rpartition(": ")[2] for line in done.stdout.splitlines() if line.startswith("Setup code")]
    return tmp_path / "home", codes


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\nanother line\n")
    return path


class Person:
    """Somebody at a terminal, with an authenticator; each code that it shows is used once."""

    def __init__(self, home: Path, password: Path, code: str, *who: str, command: str = "setup") -> None:
        self.home, self.password, self.used = home, password, 0
        base = ("person", command, "--code", code, *who, "--home", home)
        shown = taipu(*base)
        assert shown.exit_code == 0, shown.output
        self.totp = pyotp.parse_uri(shown.stdout.strip())
        done = taipu(*base, "--password-file", password, "--shown", self.code())
        assert done.exit_code == 0, done.output
        self.name = done.stderr.split()[0]

    def code(self) -> str:
        """What the authenticator shows, or will show: the gateway takes the half minutes beside this one, too.

        The one before is not begun with when it is about to be two before.
        """
        if self.used < now_millis() // 30_000 - 1 and (left := 30_000 - now_millis() % 30_000) < 7_000:
            time.sleep(left / 1000)
        step = max(now_millis() // 30_000 - 1, self.used + 1)
        self.used = step
        return self.totp.generate_otp(step)

    def session(self) -> str:
        done = taipu(
            "sign-in",
            self.name,
            "--password-file",
            self.password,
            "--code",
            self.code(),
            "--print",
            "--home",
            self.home,
        )
        assert done.exit_code == 0, done.output
        return done.stdout.strip()


@pytest.fixture
def founders(made, password):
    home, (first, second) = made
    an = Person(home, password, first, "--account", "an", "--full-name", "安宁", "--staff", "QP-1")
    li = Person(home, password, second, "--account", "li", "--full-name", "李华", "--staff", "QP-2")
    return an, li


def test_init_prints_a_code_for_each_of_two_people_and_no_account(made):
    home, codes = made
    assert len(codes) == len(set(codes)) == 2
    assert taipu_json("person", "list", "--home", home) == []


def test_two_founders_let_in_a_third_from_their_terminals(founders, password, monkeypatch):
    an, li = founders
    by_an, by_li = {"TAIPU_SESSION": an.session()}, {"TAIPU_SESSION": li.session()}
    home = ("--home", an.home)
    who = ("zhao", "--full-name", "赵强", "--staff", "QP-3", "--role", "operator")
    done = taipu("person", "propose", *who, "--reason", "night shift", *home, env=by_an)
    assert done.exit_code == 0, done.output
    (waiting,) = taipu_json("proposal", "list", *home)
    assert waiting["says"] == "赵强 (staff number qp3) gets the account zhao as 值班员 operator"
    assert waiting["digest"] in taipu("proposal", "show", waiting["id"], *home).stdout
    approve = ("proposal", "approve", waiting["id"], "--digest", waiting["digest"][:8], *home)
    refused(taipu(*approve, env=by_an), "person.not-permitted")
    refused(taipu(*approve), "session.missing")
    asked = taipu(*approve[:3], *home, env=by_li)
    assert (asked.exit_code, asked.stderr.startswith("input.needed")) == (2, True)
    assert waiting["digest"] in asked.stdout
    assert taipu(*approve, env=by_li).exit_code == 0
    refused(taipu(*approve, env=by_li), "proposal.decided")
    code = taipu("person", "code", waiting["id"], *home, env=by_an).stdout.strip()
    zhao = Person(an.home, password, code, command="enroll")
    assert zhao.name == "zhao"
    by_zhao = {"TAIPU_SESSION": zhao.session()}
    assert taipu("whoami", *home, env=by_zhao).stdout.startswith("account      zhao")
    assert taipu("person", "disable", "zhao", *home, env=by_an).exit_code == 0
    refused(taipu("whoami", *home, env=by_zhao), "session.missing")
    listed = {one["account"]: one for one in taipu_json("person", "list", *home)}
    assert [listed[name]["active"] for name in ("an", "li", "zhao")] == [True, True, False]


def test_a_session_is_kept_for_this_user_alone_until_signed_out(founders):
    an, _ = founders
    home = ("--home", an.home)
    refused(taipu("whoami", *home), "session.missing")
    done = taipu("sign-in", "an", "--password-file", an.password, "--code", an.code(), *home)
    assert (done.exit_code, done.stdout) == (0, "")
    kept = session_file(an.home)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    before = kept.read_text()
    assert taipu("whoami", *home).exit_code == 0
    assert [one["origin"] for one in taipu_json("person", "sessions", *home)] == ["terminal"]
    assert taipu("confirm", "--code", an.code(), *home).exit_code == 0
    assert kept.read_text() != before, "another session after the second factor"
    refused(taipu("whoami", *home, env={"TAIPU_SESSION": before}), "session.missing")
    kept.chmod(0o644)
    refused(taipu("whoami", *home), "session.missing")
    kept.chmod(0o600)
    assert taipu("sign-out", *home).exit_code == 0
    assert not kept.exists()
    refused(taipu("whoami", *home), "session.missing")


def test_a_session_of_the_environment_is_printed_anew_when_it_is_confirmed(founders):
    _, li = founders
    home, old = ("--home", li.home), li.session()
    done = taipu("confirm", "--code", li.code(), *home, env={"TAIPU_SESSION": old})
    assert done.exit_code == 0, done.output
    assert taipu("whoami", *home, env={"TAIPU_SESSION": done.stdout.strip()}).exit_code == 0
    refused(taipu("whoami", *home, env={"TAIPU_SESSION": old}), "session.missing")


def test_whoever_sits_at_the_terminal_is_asked_for_a_fresh_second_factor(founders, monkeypatch):
    an, li = founders
    home = ("--home", an.home)
    who = ("zhao", "--full-name", "Zhao", "--staff", "QP-3", "--role", "operator")
    done = taipu("person", "propose", *who, *home, env={"TAIPU_SESSION": an.session()})
    assert done.exit_code == 0, done.output
    (waiting,) = taipu_json("proposal", "list", *home)
    taipu("sign-in", "li", "--password-file", li.password, "--code", li.code(), *home)
    monkeypatch.setattr("gateway.people.person.RECENT", 0)
    approve = ("proposal", "approve", waiting["id"], "--digest", waiting["digest"], *home)
    refused(taipu(*approve), "person.confirm-again")
    monkeypatch.setattr("gateway.cli.at_home.somebody_is_there", lambda: True)
    asked = []

    def answer(question):
        asked.append(question)
        monkeypatch.setattr("gateway.people.person.RECENT", 300_000)
        return li.code()

    monkeypatch.setattr("gateway.cli.at_home.ask_hidden", answer)
    before = session_file(an.home).read_text()
    assert taipu(*approve).exit_code == 0
    assert asked == ["The code that your authenticator shows"]
    assert session_file(an.home).read_text() != before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sign-in", "an"), "input.needed"),
        (("sign-in", "an", "--code", "123456"), "input.needed"),
        (("confirm", "--code", "123456"), "session.missing"),
        (("person", "setup-code", "audit"), "input.needed"),
        (("person", "setup-code", "approver"), "person.role-held"),
        (("person", "enroll", "--code", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"), "enrolment.refused"),
        (("person", "disable", "li"), "session.missing"),
        (("proposal", "show", "none"), "proposal.unknown"),
        (("proposal", "approve", "none"), "proposal.unknown"),
        (("person", "propose", "z z", "--full-name", "Z", "--staff", "1", "--role", "audit"), "person.malformed"),
        (("person", "roles", "li", "--role", "visitor", "--until", "soon"), "input.malformed"),
    ],
)
def test_what_cannot_be_done_is_said_by_its_code(founders, arguments, code):
    refused(taipu(*arguments, "--home", founders[0].home), code, 2 if code == "input.needed" else 1)


def test_a_lost_setup_code_is_made_anew_while_nobody_holds_the_role(made, password):
    home, (first, _) = made
    new = taipu("person", "setup-code", "security", "--home", home).stdout.strip()
    who = ("--account", "an", "--full-name", "An", "--staff", "1", "--home", home)
    refused(taipu("person", "setup", "--code", first, *who), "enrolment.refused")
    assert Person(home, password, new, "--account", "an", "--full-name", "An", "--staff", "1").name == "an"


def test_no_password_stands_on_a_command_line_or_in_what_is_printed(founders):
    an, _ = founders
    done = taipu("sign-in", "an", "--password-file", an.password, "--code", "000000", "--home", an.home)
    refused(done, "sign-in.refused")
    assert PASSWORD not in done.output
    assert "--password " not in taipu("sign-in", "--help").stdout


def test_another_password_is_chosen_at_the_terminal(founders, tmp_path):
    an, _ = founders
    new, by_an = tmp_path / "new", {"TAIPU_SESSION": an.session()}
    new.write_text("another lantern 42")
    change = ("person", "password", "--password-file", an.password, "--new-password-file", new, "--home", an.home)
    assert taipu(*change, env=by_an).exit_code == 0
    refused(taipu("whoami", "--home", an.home, env=by_an), "session.missing")
    an.password = new
    assert an.session()
