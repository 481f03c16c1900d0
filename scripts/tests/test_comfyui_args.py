"""The flags of ComfyUI in /etc/environment, in a folder that plays the machine's root."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.launcher.places import ROOT

TEMPLATE = "--disable-auto-launch --disable-xformers --port 18188 --enable-cors-header"
AROUND = (
    '# set by the image\nPATH="/usr/local/bin:/usr/bin"\n\n',
    "\nTOKEN='a \"b\" $c'\n#COMFYUI_ARGS=old\nLAST=without a line end",
)


@dataclass(frozen=True)
class Machine:
    """A root with an /etc/environment, and a supervisorctl that writes down its calls."""

    root: Path

    @property
    def environment(self) -> Path:
        return self.root / "etc" / "environment"

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run the script; what it printed."""
        done = subprocess.run(
            [str(ROOT / "scripts" / "comfyui_args.sh"), "--root", str(self.root), *arguments],
            env={
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "CALLS": str(self.root / "calls"),
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    def restarts(self) -> int:
        calls = self.root / "calls"
        return calls.read_text().count("restart comfyui\n") if calls.exists() else 0

    def flags(self) -> str:
        """What a shell that sources the file passes on."""
        return subprocess.run(
            ["bash", "-c", '. "$1" 2>/dev/null; printf %s "$COMFYUI_ARGS"', "-", self.environment],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "supervisorctl"
    fake.write_text('#!/bin/sh\necho "$@" >>"$CALLS"\n[ ! -e "$CALLS.fail" ]\n')
    fake.chmod(0o755)
    made = Machine(tmp_path)
    made.environment.write_text(f'COMFYUI_ARGS="{TEMPLATE}"'.join(AROUND))
    return made


def test_show_names_each_flag_with_its_values(machine: Machine) -> None:
    assert machine.run("show").splitlines() == [
        "--disable-auto-launch",
        "--disable-xformers",
        "--port 18188",
        "--enable-cors-header",
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("add --gpu-only --fast autotune", f"{TEMPLATE} --gpu-only --fast autotune"),
        ("add --port 18189", TEMPLATE.replace("18188", "18189")),
        ("remove --port", TEMPLATE.replace(" --port 18188", "")),
        ("remove --not-there --port --enable-cors-header", TEMPLATE[:40]),
        ("set --listen 127.0.0.1 --cors *", "--listen 127.0.0.1 --cors *"),
    ],
)
def test_only_the_flags_change(command: str, expected: str, machine: Machine) -> None:
    machine.run(*command.split())

    assert machine.environment.read_text() == f'COMFYUI_ARGS="{expected}"'.join(AROUND)
    assert machine.flags() == expected
    assert machine.restarts() == 1


@pytest.mark.parametrize(
    "command",
    [
        f"set {TEMPLATE}",
        "add --port 18188 --disable-xformers",
        "remove --not-there",
    ],
)
def test_what_is_there_changes_and_restarts_nothing(command: str, machine: Machine) -> None:
    before = machine.environment.stat()

    assert machine.run(*command.split()) == "Nothing to change.\n"

    after = machine.environment.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(path.name for path in machine.environment.parent.iterdir()) == ["environment"]
    assert machine.restarts() == 0


def test_the_second_time_changes_nothing(machine: Machine) -> None:
    machine.run("add", "--gpu-only")
    before = machine.environment.stat()

    assert machine.run("add", "--gpu-only") == "Nothing to change.\n"

    after = machine.environment.stat()
    # Not the time of the last reading: a second later it may be another.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert machine.restarts() == 1


@pytest.mark.parametrize("command", ["set --gpu-only", "add --gpu-only", "remove --port"])
@pytest.mark.parametrize(
    "text",
    [
        f'COMFYUI_ARGS="{TEMPLATE}"'.join(AROUND),
        f"COMFYUI_ARGS='{TEMPLATE}'\n",
        f'  export COMFYUI_ARGS="{TEMPLATE}"',
        "COMFYUI_ARGS=--port\n",
        f'COMFYUI_ARGS="--port 1"\nA=1\nCOMFYUI_ARGS="{TEMPLATE}"\n\n\n',
        "",
        "A=1",
        "A=1\r\nCOMFYUI_ARGS=\"--port 1\"\r\n",
    ],
    ids=["around", "single", "export", "bare", "twice", "empty", "no line end", "windows"],
)  # fmt: skip
def test_undo_gives_every_byte_back_and_undo_again_redoes(
    text: str, command: str, machine: Machine
) -> None:
    machine.environment.write_bytes(text.encode())
    machine.run(*command.split())
    changed = machine.environment.read_bytes()
    if changed == text.encode():
        return  # there was no --port to remove

    machine.run("undo")
    assert machine.environment.read_bytes() == text.encode()

    machine.run("undo")
    assert machine.environment.read_bytes() == changed


def test_undo_keeps_what_others_wrote_since(machine: Machine) -> None:
    machine.run("add", "--gpu-only")
    machine.environment.write_text(machine.environment.read_text() + "\nNEW=1\n")

    machine.run("undo")

    assert machine.flags() == TEMPLATE
    assert machine.environment.read_text().endswith("LAST=without a line end\nNEW=1\n")


def test_the_last_line_counts_as_for_the_shell(machine: Machine) -> None:
    machine.environment.write_text('COMFYUI_ARGS="--port 1"\nexport COMFYUI_ARGS=--port\n')

    machine.run("add", "--gpu-only")

    assert machine.environment.read_text() == (
        'COMFYUI_ARGS="--port 1"\nexport COMFYUI_ARGS="--port --gpu-only"\n'
    )


def test_owner_and_mode_stay(machine: Machine) -> None:
    machine.environment.chmod(0o640)

    machine.run("add", "--gpu-only")

    assert machine.environment.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(machine: Machine) -> None:
    real = machine.root / "real"
    machine.environment.rename(real)
    machine.environment.symlink_to(real)

    machine.run("add", "--gpu-only")

    assert machine.environment.is_symlink()
    assert "--gpu-only" in real.read_text()


def test_a_machine_without_the_file_gets_one(machine: Machine) -> None:
    machine.environment.unlink()

    assert machine.run("show") == ""
    machine.run("add", "--gpu-only")

    assert machine.environment.read_text() == 'COMFYUI_ARGS="--gpu-only"\n'


def test_no_restart_changes_without_one(machine: Machine) -> None:
    machine.run("--no-restart", "add", "--gpu-only")

    assert machine.flags().endswith("--gpu-only")
    assert machine.restarts() == 0


def test_a_failed_restart_is_told_with_the_way_back(machine: Machine) -> None:
    (machine.root / "calls.fail").touch()

    assert "undo` takes the change back" in machine.run("add", "--gpu-only", fails=True)


@pytest.mark.parametrize(
    "command",
    [
        ["add", "--a", "b; rm -rf /"],
        ["set", "--a", "$(id)"],
        ["add", "--a", 'quote"'],
        ["add", "gpu-only"],
        ["add"],
        ["set", ""],
        ["remove", "--port", "18188"],
        ["undo"],
        ["show", "--all"],
        ["frobnicate"],
        [],
    ],
    ids=str,
)
def test_what_makes_no_sense_changes_nothing(command: list[str], machine: Machine) -> None:
    before = machine.environment.read_bytes()

    assert machine.run(*command, fails=True)

    assert machine.environment.read_bytes() == before
    assert machine.restarts() == 0


def test_a_value_that_only_a_shell_understands_is_left_alone(machine: Machine) -> None:
    machine.environment.write_text('COMFYUI_ARGS="--port $PORT"\n')

    assert "in a way that this script does not change" in machine.run("add", "--a", fails=True)

    assert machine.environment.read_text() == 'COMFYUI_ARGS="--port $PORT"\n'


def test_two_at_a_time_lose_nothing(machine: Machine) -> None:
    command = [str(ROOT / "scripts" / "comfyui_args.sh"), "--root", str(machine.root)]
    running = [
        subprocess.Popen(
            [*command, "--no-restart", "add", f"--flag-{number}"], stdout=subprocess.DEVNULL
        )
        for number in range(8)
    ]

    assert [process.wait(60) for process in running] == [0] * 8

    assert {f"--flag-{number}" for number in range(8)} <= set(machine.flags().split())
