"""The command scripts/start."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher import node_env, preflight, python_env, services, valkey
from scripts.launcher.command import run
from scripts.launcher.dotenv import with_dotenv
from scripts.launcher.places import DATA, DOTENV, ROOT, VENV
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.run_dir import RunDir
from scripts.launcher.stop_signal import StopSignal
from scripts.launcher.supervisor import Supervisor
from scripts.launcher.waiting import WorkerPing, wait_until_ready

WATCH_EVERY_S = 0.2
SHORTEN_LOGS_EVERY_S = 60.0
SETTINGS_SENTENCE = "LlamaSketch cannot start."  # how llamasketch.settings begins its refusals


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, from flags, environment and .env, in this order of precedence."""

    port: int
    data_dir: Path
    workers: int
    comfyui: tuple[str, ...]  # none: simulated
    redis_url: str  # empty: our own
    variables: dict[str, str]

    @property
    def address(self) -> str:
        """The one address that a person needs."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """The folder of the processes' output."""
        return self.data_dir / "logs"


def start(arguments: Sequence[str]) -> int:
    """Start everything, wait for the end; return the exit status."""
    stop = StopSignal().listen()
    progress = Progress()
    try:
        plan = plan_from(arguments, dict(os.environ))
        return _start(plan, stop, progress)
    except StepFailed as failure:
        print(f"{failure.tail}\n\n✗ {failure}" if failure.tail else f"✗ {failure}", file=sys.stderr)
        return 1
    except Refusal as refusal:
        print(f"✗ {refusal}", file=sys.stderr)
        return 1
    except Interrupted:
        progress.say("Stopped.")
        return 130


def plan_from(arguments: Sequence[str], environment: dict[str, str]) -> Plan:
    """Read flags and variables.

    Raises:
        Refusal: a value makes no sense.
    """
    flags = _parser().parse_args(arguments)
    variables = with_dotenv(environment, DOTENV)
    port = flags.port if flags.port is not None else _whole("PENCIL_PORT", variables, 8100)
    if not 1 <= port <= 65535:
        raise Refusal(f"{port} is no port; give one from 1 to 65535 with --port.")
    if not 1 <= flags.workers <= 64:
        raise Refusal(f"--workers {flags.workers} makes no sense; give 1 to 64.")
    folder = flags.data_dir or variables.get("PENCIL_DATA_DIR", "").strip() or str(DATA)
    comfyui = flags.comfyui_url or variables.get("PENCIL_COMFYUI_URL", "")
    return Plan(
        port=port,
        data_dir=Path(folder).expanduser().absolute(),
        workers=flags.workers,
        comfyui=tuple(part.strip() for part in comfyui.split(",") if part.strip()),
        redis_url=variables.get("PENCIL_REDIS_URL", "").strip(),
        variables=variables,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/start",
        description="Start LlamaSketch on this machine. Ctrl-C stops everything.",
        epilog="Settings are variables named PENCIL_…, from the environment or a file .env.",
    )
    parser.add_argument("--port", type=int, help="of the web server; default 8100")
    parser.add_argument(
        "--comfyui-url", metavar="URL", help="of a ComfyUI, or several with commas; default: none, "
        "and images are simulated"
    )  # fmt: skip
    parser.add_argument("--data-dir", metavar="DIR", help="what is kept; default ./data")
    parser.add_argument(
        "--workers", type=int, default=8, metavar="N", help="jobs looked after at once; default 8"
    )
    return parser


def _start(plan: Plan, stop: StopSignal, progress: Progress) -> int:
    run_dir = RunDir(plan.data_dir)
    try:
        _preflight(plan, run_dir, progress)
        _install(plan, stop, progress)
        return _run(plan, run_dir, stop, progress)
    finally:
        run_dir.leave()


def _preflight(plan: Plan, run_dir: RunDir, progress: Progress) -> None:
    """Ask everything that could be wrong, before the first change to the machine."""
    preflight.check_node()
    python_env.check_can_install()
    preflight.check_data_dir(plan.data_dir)
    run_dir.take(address=f"port {plan.port}")
    if run_dir.end_leftovers():
        progress.say("  An earlier start was killed; the processes that it left are ended now.")
    preflight.check_port(plan.port)
    preflight.check_space(plan.data_dir, preflight.DATA_BYTES_MIN)
    if not VENV.exists():
        preflight.check_space(ROOT, preflight.INSTALL_BYTES_MIN)
    for address in preflight.check_comfyui(plan.comfyui):
        progress.say(f"  {address} does not answer; its jobs go to the others meanwhile.")
    if plan.redis_url:
        preflight.check_redis(plan.redis_url)


def _install(plan: Plan, stop: StopSignal, progress: Progress) -> None:
    log = plan.logs / "setup.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    python_env.install(log=log, stop=stop, progress=progress)
    node_env.install(log=log, stop=stop, progress=progress)
    node_env.build(log=log, stop=stop, progress=progress)


def _run(plan: Plan, run_dir: RunDir, stop: StopSignal, progress: Progress) -> int:
    ports = run_dir.ports(("valkey", "simulator"))
    environment = environment_for(plan, ports)
    with progress.step("database"):
        _migrate(plan, environment, stop)
    supervisor = Supervisor(environment, logs=plan.logs)
    try:
        _start_services(plan, ports, environment, supervisor, run_dir, stop, progress)
        _announce(plan, progress)
        return _watch(supervisor, stop, progress)
    finally:
        supervisor.stop(is_urgent=lambda: stop.is_urgent)
        run_dir.note_processes({})
        progress.say("Everything has stopped.")


def _migrate(plan: Plan, environment: dict[str, str], stop: StopSignal) -> None:
    """Bring the database up to date; this is also where a wrong setting shows itself."""
    try:
        run(
            [services.PYTHON, "manage.py", "migrate", "--no-input", "-v", "0"],
            failure="The database could not be prepared.",
            log=plan.logs / "setup.log",
            stop=stop,
            environment=environment,
        )
    except StepFailed as failure:
        if failure.tail.startswith(SETTINGS_SENTENCE):
            raise Refusal(failure.tail) from failure
        raise


def _start_services(
    plan: Plan,
    ports: dict[str, int],
    environment: dict[str, str],
    supervisor: Supervisor,
    run_dir: RunDir,
    stop: StopSignal,
    progress: Progress,
) -> None:
    ready: list[services.Ready] = []
    if not plan.redis_url:
        server = valkey.find_server()
        ready.append(services.valkey_service(server, port=ports["valkey"], data_dir=plan.data_dir))
    if not plan.comfyui:
        ready.append(services.simulator_service(port=ports["simulator"], data_dir=plan.data_dir))
    ready.append(services.web_service(port=plan.port))
    ready.append(services.beat_service(data_dir=plan.data_dir))
    worker_name = f"worker-{plan.port}@llamasketch"
    worker = services.worker_service(concurrency=plan.workers, worker_name=worker_name)
    for service in (*(entry.service for entry in ready), worker):
        supervisor.start(service)
        run_dir.note_processes(supervisor.pids())
    redis_url = environment["PENCIL_REDIS_URL"]
    with WorkerPing(redis_url=redis_url, worker_name=worker_name) as ping:
        questions = {entry.service.name: entry.answers for entry in ready}
        questions |= {"worker": ping.answers, "beat": ping.beat_answers}
        wait_until_ready(questions, supervisor, stop, on_ready=progress.tick)


def environment_for(plan: Plan, ports: dict[str, int]) -> dict[str, str]:
    """The variables of all processes."""
    chosen = {
        "PENCIL_PORT": str(plan.port),
        "PENCIL_DATA_DIR": str(plan.data_dir),
        "PENCIL_REDIS_URL": plan.redis_url or f"redis://127.0.0.1:{ports['valkey']}/0",
        "PENCIL_COMFYUI_URL": ",".join(plan.comfyui) or f"http://127.0.0.1:{ports['simulator']}",
        "PENCIL_COMFYUI_SIMULATED": "false" if plan.comfyui else "true",
        "PYTHONUNBUFFERED": "1",
    }
    return {"PENCIL_ENVIRONMENT": "local", **plan.variables, **chosen}


def _announce(plan: Plan, progress: Progress) -> None:
    images = (
        "made by your ComfyUI."
        if plan.comfyui
        else "simulated: painted from your sketch without a GPU. "
        "Name a real ComfyUI with --comfyui-url."
    )
    lines = [
        "",
        f"LlamaSketch is ready at {plan.address}",
        "",
        f"  Images  {images}",
    ]
    if not plan.variables.get("PENCIL_EMAIL_URL", "").strip():
        lines.append(f"  Mail    simulated: kept as files in {plan.data_dir / 'outbox'}.")
    lines += [
        f"  Data    {plan.data_dir}",
        f"  Logs    {plan.logs}",
        "",
        "Ctrl-C stops everything.",
    ]
    for line in lines:
        progress.say(line)


def _watch(supervisor: Supervisor, stop: StopSignal, progress: Progress) -> int:
    """Wait for Ctrl-C, or for the death of a process: then say which."""
    shortened_at = time.monotonic()
    while not stop.is_set:
        died = supervisor.dead()
        if died is not None:
            name, status = died
            print(
                f"{supervisor.tail(name)}\n\n"
                f"✗ The {name} process ended with status {status}, so everything stops; "
                f"{supervisor.log_of(name)} has the details.",
                file=sys.stderr,
            )
            return 1
        if time.monotonic() - shortened_at > SHORTEN_LOGS_EVERY_S:
            shortened_at = time.monotonic()
            supervisor.shorten_logs()
        time.sleep(WATCH_EVERY_S)
    progress.say("\nStopping …")
    return 0


def _whole(name: str, variables: dict[str, str], default: int) -> int:
    text = variables.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise Refusal(f"{name} is {text!r}; it must be a whole number.")
    return int(text)
