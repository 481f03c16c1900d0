from pathlib import Path

import pytest

from scripts.launcher import start
from scripts.launcher.refusal import Refusal


@pytest.fixture(autouse=True)
def _no_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "DOTENV", tmp_path / ".env")


def test_without_anything_everything_is_simulated_on_port_8100() -> None:
    plan = start.plan_from([], {})

    assert plan.address == "http://127.0.0.1:8100"
    assert plan.comfyui == ()
    environment = start.environment_for(plan, {"valkey": 7001, "simulator": 7002})
    assert environment["PENCIL_ENVIRONMENT"] == "local"
    assert environment["PENCIL_REDIS_URL"] == "redis://127.0.0.1:7001/0"
    assert environment["PENCIL_COMFYUI_URL"] == "http://127.0.0.1:7002"
    assert environment["PENCIL_COMFYUI_SIMULATED"] == "true"


def test_flags_win_over_the_environment() -> None:
    variables = {"PENCIL_PORT": "8200", "PENCIL_COMFYUI_URL": "http://a", "PENCIL_DATA_DIR": "/a"}

    plan = start.plan_from(
        ["--port", "8300", "--comfyui-url", "http://b,http://c", "--data-dir", "/b"], variables
    )

    assert (plan.port, plan.comfyui, plan.data_dir) == (
        8300,
        ("http://b", "http://c"),
        Path("/b"),
    )
    environment = start.environment_for(plan, {"valkey": 1, "simulator": 2})
    assert environment["PENCIL_COMFYUI_SIMULATED"] == "false"
    assert environment["PENCIL_PORT"] == "8300"


def test_settings_from_the_file_reach_the_processes(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PENCIL_DAILY_LIMIT=3\nPENCIL_REDIS_URL=redis://redis/1\n")

    plan = start.plan_from([], {})

    environment = start.environment_for(plan, {"valkey": 1, "simulator": 2})
    assert environment["PENCIL_DAILY_LIMIT"] == "3"
    assert environment["PENCIL_REDIS_URL"] == "redis://redis/1"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["--port", "0"], {}), (["--workers", "65"], {}), ([], {"PENCIL_PORT": "web"})],
)
def test_values_without_sense_are_refused(arguments: list[str], variables: dict[str, str]) -> None:
    with pytest.raises(Refusal):
        start.plan_from(arguments, variables)
