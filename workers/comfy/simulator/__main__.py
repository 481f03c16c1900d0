"""The simulator's command line."""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from workers.comfy.simulator.faults import FaultKind, FaultRule, Faults, UnknownFault, parse_fault
from workers.comfy.simulator.options import Options, PreviewMethod, ServerVersion
from workers.comfy.simulator.server import Server

_SHUTDOWN_S = 0.5  # for requests still open at the end


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until SIGTERM or SIGINT; return the exit status."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        options = Options(
            data_dir=parsed.data_dir or _temporary(stack),
            version=ServerVersion(parsed.server_version),
            preview=PreviewMethod(parsed.preview),
            step_s=parsed.step_seconds,
            load_s=parsed.load_seconds,
            encode_s=parsed.encode_seconds,
            has_pack=parsed.pack,
        )
        try:
            return asyncio.run(_serve(options, parsed.fault, parsed.host, parsed.port))
        except OSError as error:
            reason = error.strerror or error
            sys.stderr.write(f"Cannot listen on {parsed.host}:{parsed.port}: {reason}.\n")
            return 1


def _temporary(stack: ExitStack) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="comfyui-simulator-")
    return Path(stack.enter_context(folder))


async def _serve(options: Options, rules: list[FaultRule], host: str, port: int) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(options, Faults(rules))
    runner = web.AppRunner(
        server.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        chosen = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"listening on http://{shown}:{chosen}\n")
        sys.stdout.flush()
        await stopped.wait()
    finally:
        await runner.cleanup()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers.comfy.simulator",
        description="A ComfyUI without a GPU: the same interface, pictures painted on the CPU.",
    )
    parser.add_argument("--port", type=int, default=18188, help="0 lets the system choose")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--data-dir", type=Path, help="keeps input/ and output/; default: gone at the end"
    )
    parser.add_argument("--step-seconds", type=_duration, default=0.2, help="one sampling step")
    parser.add_argument("--load-seconds", type=_duration, default=0.0, help="loading the models")
    parser.add_argument("--encode-seconds", type=_duration, default=0.0, help="writing one image")
    parser.add_argument("--pack", action="store_true", help="has LlamaSketch's node pack")
    parser.add_argument(
        "--preview",
        choices=[PreviewMethod.NONE, PreviewMethod.LATENT2RGB, PreviewMethod.AUTO],
        default=PreviewMethod.LATENT2RGB,
        help="for prompts that name no preview_method (default: latent2rgb)",
    )
    parser.add_argument("--server-version", choices=list(ServerVersion), default="0.29")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[:once|:every=N|:count=N|:factor=X]",
        help="show a fault; may be given several times. KIND is one of: " + ", ".join(FaultKind),
    )
    return parser


def _duration(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("a duration is from 0 to 3600 seconds")
    return seconds


def _fault(text: str) -> FaultRule:
    try:
        return parse_fault(text)
    except UnknownFault as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
