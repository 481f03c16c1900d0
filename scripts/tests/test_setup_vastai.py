"""Setting up a GPU machine: a folder plays its root, and small programs what is installed there."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.launcher.places import ROOT
from scripts.tests.model_hub import ModelHub, serving
from workers.workflows.abilities import STOCK

WORKFLOWS = ROOT / "deploy" / "comfyui" / "workflows"
TEMPLATE = "--disable-auto-launch --disable-xformers --port 18188 --enable-cors-header"
KLEIN = "diffusion_models/klein.safetensors"
BASE = "diffusion_models/klein-base-4b.safetensors"
VAE = "vae/vae.safetensors"
PROGRAMS = {
    "supervisorctl": 'echo "supervisorctl $*" >>"$LAB/calls"; [ ! -e "$LAB/supervisor.fails" ]',
    "nvidia-smi": 'cat "$LAB/gpu"',
    "df": 'printf "Filesystem 1B-blocks Used Available\\n/ 1 1 %s /\\n" "$(cat "$LAB/free")"',
}
PYTHON = """\
case "$*" in
  -c*) [ ! -s "$LAB/torch" ] || cat "$LAB/torch" ;;
  *"-m pip --version") ;;
  *"-m pip install"*) echo "pip $*" >>"$LAB/calls"; cp "$LAB/index" "$LAB/torch" ;;
  *gpu_health_check.py) echo health >>"$LAB/calls"; exit "$(cat "$LAB/health")" ;;
  *test_inference.py*) echo smoke >>"$LAB/calls"; exit "$(cat "$LAB/smoke")" ;;
  *) exit 99 ;;
esac
"""


class Lab:
    """A machine, the project's copy on it, and what its programs will say."""

    def __init__(self, folder: Path, hub: ModelHub) -> None:
        self.folder, self.hub = folder, hub
        self.root = folder / "root"
        self.comfyui = self.root / "workspace" / "ComfyUI"
        self.project = folder / "project"
        (self.comfyui / "comfy").mkdir(parents=True)
        (self.comfyui / "main.py").touch()
        self.knows("--gpu-only", "--disable-dynamic-vram", "--disable-metadata", "autotune")
        (self.root / "etc").mkdir()
        self.environment.write_text(f'A=1\nCOMFYUI_ARGS="{TEMPLATE}"\n')
        for name, text in PROGRAMS.items():
            self.program(folder / "bin" / name, text)
        self.program(self.root / "venv" / "main" / "bin" / "python", PYTHON)
        self.say(gpu="NVIDIA H100 80GB HBM3, 81559, 580.95.05", free=10**12, health=0, smoke=0)
        self.say(torch="2.11.0+cu130 13.0", index="2.11.0+cu130 13.0")
        pack = self.project / "deploy" / "comfyui" / "llamasketch_nodes"
        pack.mkdir(parents=True)
        (pack / "__init__.py").write_text("NODES = 1\n")
        shutil.copytree(WORKFLOWS, self.project / "deploy/comfyui/workflows")
        rng = random.Random(1)
        for name, size in ((KLEIN, 300_000), (BASE, 1000), (VAE, 70_000)):
            hub.files[f"repo/{name}"] = rng.randbytes(size)
        self.manifest()

    @property
    def environment(self) -> Path:
        return self.root / "etc" / "environment"

    def knows(self, *names: str) -> None:
        text = "".join(f'add("{name}")\n' for name in names)
        (self.comfyui / "comfy" / "cli_args.py").write_text(text)

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def say(self, **answers: object) -> None:
        for name, answer in answers.items():
            (self.folder / name).write_text(f"{answer}\n" if answer != "" else "")

    def manifest(self, **known: str) -> None:
        """Write it, with size and checksum where they are known."""
        lines = ["# a comment"]
        for name in (KLEIN, BASE, VAE):
            folder, file = name.split("/")
            facts = known.get(file.split(".")[0], "-\t-")
            lines.append(f"{file}\t{folder}\trepo/{name}\t{facts}")
        (self.project / "deploy/comfyui/models.tsv").write_text("\n".join(lines) + "\n")

    def run(self, *flags: str, fails: bool = False, index: str = "", **answers: object) -> str:
        self.say(**answers)
        done = subprocess.run(
            [str(ROOT / "scripts" / "setup_vastai.sh"), "--root", str(self.root), *flags],
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "LAB": str(self.folder),
                "MODELS_URL": self.hub.url,
                "LLAMASKETCH_PROJECT": str(self.project),
                "LLAMASKETCH_PAUSE_S": "0",
                **({"PYTORCH_INDEX_URL": index} if index else {}),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def model(self, name: str) -> Path:
        return self.comfyui / "models" / name

    def is_whole(self, name: str) -> bool:
        return self.model(name).read_bytes() == self.hub.files[f"repo/{name}"]

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)
        self.hub.heads.clear()
        self.hub.gets.clear()

    def flags(self) -> str:
        return self.environment.read_text().split('"')[1]

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        return {
            str(path): (
                path.lstat().st_ino,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in self.root.rglob("*")
        }


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with serving() as hub:
        yield Lab(tmp_path, hub)


def test_a_bare_machine_becomes_ready(lab: Lab) -> None:
    said = lab.run()

    assert said.endswith("Ready: this machine can take jobs.\n")
    assert lab.is_whole(KLEIN)
    assert lab.is_whole(VAE)
    assert not lab.model(BASE).exists()
    assert (lab.comfyui / "custom_nodes/llamasketch_nodes/__init__.py").read_text() == "NODES = 1\n"
    workflow = lab.comfyui / "user/default/workflows/llamasketch-paint.json"
    assert workflow.read_bytes() == (WORKFLOWS / "paint.json").read_bytes()
    assert lab.calls() == ["health", "supervisorctl restart comfyui", "smoke"]


def test_the_second_run_changes_nothing_fetches_nothing_restarts_nothing(lab: Lab) -> None:
    lab.run()
    before = lab.tree()
    lab.forget_calls()

    lab.run()

    assert lab.tree() == before
    assert lab.hub.heads == []
    assert lab.hub.gets == []
    assert lab.calls() == ["health", "smoke"]


def test_the_base_model_comes_when_asked_for(lab: Lab) -> None:
    lab.run("--with-base")

    assert lab.is_whole(BASE)


# PyTorch


def test_an_older_pytorch_without_an_index_is_told_in_a_sentence(lab: Lab) -> None:
    said = lab.run(fails=True, torch="2.9.0+cu128 12.8")

    assert "PyTorch is 2.9.0+cu128 12.8, and CUDA 13 is needed: set PYTORCH_INDEX_URL" in said
    assert lab.calls() == []


@pytest.mark.parametrize("torch", ["2.9.0+cu128 12.8", "2.11.0+cpu none", ""])
def test_only_another_pytorch_is_replaced(torch: str, lab: Lab) -> None:
    lab.run(index="http://index.example/cu130", torch=torch)

    [install] = [call for call in lab.calls() if call.startswith("pip")]
    assert (
        "--upgrade --index-url http://index.example/cu130 torch torchvision torchaudio" in install
    )
    assert "supervisorctl restart comfyui" in lab.calls()

    lab.forget_calls()
    lab.run(index="http://index.example/cu130")
    assert lab.calls() == ["health", "smoke"]


def test_an_index_with_another_cuda_is_noticed(lab: Lab) -> None:
    lab.say(index="2.9.1+cu128 12.8")

    said = lab.run(fails=True, index="http://index.example", torch="2.9.0+cu128 12.8")

    assert "after its installation" in said


# Models


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(lab: Lab) -> None:
    lab.hub.cut_after = 100_000

    lab.run()

    assert lab.is_whole(KLEIN)
    starts = [start for path, start in lab.hub.gets if path.endswith(KLEIN)]
    assert starts == [0, 100_000, 200_000]


def test_a_truncated_file_is_completed(lab: Lab) -> None:
    lab.model(KLEIN).parent.mkdir(parents=True)
    lab.model(KLEIN).write_bytes(lab.hub.files[f"repo/{KLEIN}"][:123_456])

    assert "klein.safetensors is not whole." in lab.run()

    assert lab.is_whole(KLEIN)
    assert (f"repo/{KLEIN}", 123_456) in lab.hub.gets


def test_what_is_left_of_another_file_is_fetched_anew(lab: Lab) -> None:
    lab.model(KLEIN).parent.mkdir(parents=True)
    lab.model(KLEIN).write_bytes(b"<html>not a model</html>")

    lab.run()

    assert lab.is_whole(KLEIN)
    assert [start for path, start in lab.hub.gets if path.endswith(KLEIN)] == [24, 0]


def test_a_file_of_the_right_size_is_hashed_once_and_replaced_when_damaged(lab: Lab) -> None:
    right = lab.hub.files[f"repo/{VAE}"]
    lab.model(VAE).parent.mkdir(parents=True)
    lab.model(VAE).write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    lab.model(KLEIN).parent.mkdir(parents=True)
    lab.model(KLEIN).write_bytes(lab.hub.files[f"repo/{KLEIN}"])

    said = lab.run()

    assert "vae.safetensors is damaged." in said
    assert lab.is_whole(VAE)
    assert [path for path, _ in lab.hub.gets] == [f"repo/{VAE}"]
    assert "Checking" not in lab.run()


def test_a_file_that_was_written_to_since_is_looked_at_again(lab: Lab) -> None:
    lab.run()
    data = bytearray(lab.model(VAE).read_bytes())
    data[5] ^= 1
    lab.model(VAE).write_bytes(bytes(data))

    assert "vae.safetensors is damaged." in lab.run()

    assert lab.is_whole(VAE)


def test_a_server_without_ranges_is_begun_anew(lab: Lab) -> None:
    lab.hub.has_ranges = False
    lab.model(KLEIN).parent.mkdir(parents=True)
    lab.model(KLEIN).with_suffix(".safetensors.part").write_bytes(b"x" * 1000)

    lab.run()

    assert lab.is_whole(KLEIN)


def test_a_wrong_checksum_stops_with_the_files_name(lab: Lab) -> None:
    lab.manifest(vae=f"70000\t{'0' * 64}")

    said = lab.run(fails=True)

    assert said.startswith("✗ vae.safetensors: what was fetched has another checksum")
    assert not lab.model(VAE).exists()
    assert lab.is_whole(KLEIN)
    assert lab.calls() == ["health"]


def test_what_the_hub_told_once_must_hold(lab: Lab) -> None:
    lab.run()
    other = bytearray(lab.hub.files[f"repo/{VAE}"])
    other[0] ^= 1
    lab.hub.files[f"repo/{VAE}"] = bytes(other)
    lab.model(VAE).unlink()

    assert lab.run(fails=True).startswith("✗ vae.safetensors: ")


def test_a_hub_that_tells_no_checksum_stops_with_the_files_name(lab: Lab) -> None:
    lab.hub.tells_checksums = False

    said = lab.run(fails=True)

    assert "klein.safetensors" in said
    assert "models.tsv" in said


def test_a_hub_that_gives_nothing_ends_and_goes_on_the_next_time(lab: Lab) -> None:
    lab.hub.cut_after = 10_000

    said = lab.run(fails=True)
    assert "✗ klein.safetensors could not be fetched whole: 80000 of 300000 bytes" in said

    lab.hub.cut_after = None
    lab.run()
    assert lab.is_whole(KLEIN)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(lab: Lab) -> None:
    assert "rent a machine with a larger disk" in lab.run(fails=True, free=5_000_000_000)

    assert lab.hub.gets == []


# The GPU


def test_a_broken_gpu_stops_comfyui_before_anything_is_fetched(lab: Lab) -> None:
    said = lab.run(fails=True, health=1)

    assert said.startswith("✗ The GPU is broken.")
    assert lab.calls() == ["health", "supervisorctl stop comfyui"]
    assert lab.hub.heads == []

    lab.forget_calls()
    lab.run(health=0)
    assert "supervisorctl restart comfyui" in lab.calls()


def test_a_gpu_that_could_not_be_checked_takes_no_jobs(lab: Lab) -> None:
    assert "could not be checked" in lab.run(fails=True, health=2)


def test_a_bad_picture_fails(lab: Lab) -> None:
    assert "must not take jobs" in lab.run(fails=True, smoke=1)


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ("NVIDIA GeForce RTX 4090, 24564, 550.90.07", "CUDA 13 needs driver 580"),
        ("", "nvidia-smi finds no GPU"),
    ],
)
def test_a_machine_that_cannot_do_it_is_told(gpu: str, said: str, lab: Lab) -> None:
    assert said in lab.run(fails=True, gpu=gpu)


# Flags


@pytest.mark.parametrize(
    ("gpu", "added"),
    [
        ("NVIDIA H100 80GB HBM3, 81559, 580.95.05", " --gpu-only --disable-dynamic-vram"),
        ("NVIDIA L40S, 46068, 580.95.05", " --gpu-only --disable-dynamic-vram"),
        ("NVIDIA GeForce RTX 5090, 32607, 580.95.05", ""),
        ("NVIDIA GeForce RTX 4090, 24564, 580.95.05", ""),
    ],
    ids=["80 GB", "48 GB", "32 GB", "24 GB"],
)
def test_flags_follow_the_cards_memory(gpu: str, added: str, lab: Lab) -> None:
    lab.run(gpu=gpu)

    assert lab.flags() == f"{TEMPLATE} --disable-metadata --fast autotune{added}"


def test_flags_that_this_comfyui_lacks_are_left_out(lab: Lab) -> None:
    lab.knows("--gpu-only")

    lab.run()

    assert lab.flags() == f"{TEMPLATE} --gpu-only"


def test_what_an_operator_chose_stays(lab: Lab) -> None:
    lab.environment.write_text('COMFYUI_ARGS="--port 18188 --normalvram --fast --mine 1"\n')

    lab.run()

    assert lab.flags() == "--port 18188 --normalvram --fast --mine 1 --disable-metadata"


def test_flags_that_are_known_to_break_pictures_go(lab: Lab) -> None:
    lab.environment.write_text('COMFYUI_ARGS="--port 18188 --fp32-vae"\n')

    lab.run()

    assert "--fp32-vae" not in lab.flags()


def test_a_machine_without_flags_keeps_the_launchers_own(lab: Lab) -> None:
    lab.environment.write_text("A=1\n")

    lab.run()

    assert lab.flags().startswith(TEMPLATE)


# Copies and restarts


def test_a_changed_node_pack_is_copied_whole_and_restarts(lab: Lab) -> None:
    lab.run()
    pack = lab.project / "deploy/comfyui/llamasketch_nodes"
    (pack / "__init__.py").write_text("NODES = 2\n")
    copied = lab.comfyui / "custom_nodes/llamasketch_nodes"
    (copied / "left_over.py").touch()
    lab.forget_calls()

    lab.run()

    assert (copied / "__init__.py").read_text() == "NODES = 2\n"
    assert not (copied / "left_over.py").exists()
    assert "supervisorctl restart comfyui" in lab.calls()


def test_a_pack_that_is_a_link_to_the_project_stays_one(lab: Lab) -> None:
    pack = lab.project / "deploy/comfyui/llamasketch_nodes"
    link = lab.comfyui / "custom_nodes/llamasketch_nodes"
    link.parent.mkdir()
    link.symlink_to(pack)
    workflow = lab.comfyui / "user/default/workflows/llamasketch-paint.json"
    workflow.parent.mkdir(parents=True)
    workflow.symlink_to(lab.project / "deploy/comfyui/workflows/paint.json")

    lab.run()

    assert link.is_symlink()
    assert (pack / "__init__.py").read_text() == "NODES = 1\n"
    assert workflow.is_symlink()


def test_a_restart_that_failed_is_made_up_for(lab: Lab) -> None:
    (lab.folder / "supervisor.fails").touch()
    assert "did not restart" in lab.run(fails=True)
    (lab.folder / "supervisor.fails").unlink()
    lab.forget_calls()

    lab.run()

    assert lab.calls() == ["health", "supervisorctl restart comfyui", "smoke"]


def test_comfyui_elsewhere_is_found_when_told(lab: Lab) -> None:
    elsewhere = lab.folder / "elsewhere"
    lab.comfyui.rename(elsewhere)
    assert "give --comfyui DIR" in lab.run(fails=True)

    lab.run("--comfyui", str(elsewhere))

    assert (elsewhere / "models" / KLEIN).exists()


def test_the_manifest_names_every_model_of_the_workflow() -> None:
    text = (ROOT / "deploy/comfyui/models.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]

    assert all(len(row) == 5 for row in rows)
    assert {file for _, _, file in STOCK.models} == {row[0] for row in rows}
