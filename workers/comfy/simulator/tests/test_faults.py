"""Each fault shows what a broken ComfyUI shows."""

import io
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from workers.comfy.simulator.faults import FaultKind, UnknownFault, parse_fault
from workers.comfy.simulator.tests.client import Caller, Listener
from workers.comfy.simulator.tests.conftest import Start
from workers.comfy.simulator.tests.graphs import klein_graph, outline, png


def run(caller: Caller, graph: dict[str, Any]) -> dict[str, Any]:
    """Submit with a socket open, wait for the end, return the job."""
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(graph, client_id=listener.client_id).json()["prompt_id"]
        listener.wait_until_done(prompt_id)
        return caller.job(prompt_id)


def picture(caller: Caller, job: dict[str, Any]) -> np.ndarray[Any, Any]:
    file = job["preview_output"]
    params = {"filename": file["filename"], "subfolder": file["subfolder"], "type": file["type"]}
    reply = caller.request("GET", "/view", params=params)
    return np.asarray(Image.open(io.BytesIO(reply.content)))


def poll_until(caller: Caller, prompt_id: str, status: str) -> dict[str, Any]:
    """Await a status by polling: the way that is left when no event comes."""
    deadline_s = time.monotonic() + 10
    pause = threading.Event()
    while (job := caller.job(prompt_id))["status"] != status:
        assert time.monotonic() < deadline_s, job
        pause.wait(0.01)
    return job


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("slow", [1, 1, 1, 1, 1, 1]),
        ("slow:once", [1, 0, 0, 0, 0, 0]),
        ("slow:every=3", [0, 0, 1, 0, 0, 1]),
        ("slow:count=2", [1, 1, 0, 0, 0, 0]),
        ("slow:every=2,count=2", [0, 1, 0, 1, 0, 0]),
    ],
)
def test_a_fault_strikes_as_often_as_it_says(text: str, pattern: list[int]) -> None:
    rule = parse_fault(text)

    assert [int(rule.strikes()) for _ in pattern] == pattern


@pytest.mark.parametrize("text", ["nonsense", "slow:often", "slow:every=0", "slow:count=x"])
def test_an_unknown_fault_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UnknownFault, match=r"\.$"):
        parse_fault(text)


def test_out_of_memory_fails_the_job_and_unloads_the_models(start: Start) -> None:
    caller = start("out-of-memory:once")

    job = run(caller, klein_graph())

    assert job["status"] == "failed"
    assert job["execution_error"]["exception_type"] == "torch.OutOfMemoryError"
    assert caller.get("/simulator/state")["models_loaded"] is False
    assert run(caller, klein_graph())["status"] == "completed"


def test_node_error_fails_the_job(start: Start) -> None:
    job = run(start("node-error"), klein_graph())

    assert (job["status"], job["execution_error"]["node_type"]) == (
        "failed",
        "SamplerCustomAdvanced",
    )


@pytest.mark.parametrize("kind", ["black-image", "nan-image"])
def test_a_black_picture_is_a_success(kind: str, start: Start) -> None:
    caller = start(f"{kind}:once")

    job = run(caller, klein_graph())

    assert job["status"] == "completed"
    assert picture(caller, job).max() == 0
    assert picture(caller, run(caller, klein_graph(seed=2))).max() > 200


def test_slow_stretches_the_steps(start: Start) -> None:
    caller = start("slow:once,factor=6", step_s=0.05)

    job = run(caller, klein_graph())
    run(caller, klein_graph(seed=2))

    assert job["execution_end_time"] - job["execution_start_time"] >= 3 * 0.05 * 6 * 1000
    (fault,) = caller.get("/simulator/state")["faults"]
    assert (fault["occasions"], fault["struck"], fault["left"]) == (1, 1, 0)


def test_hang_keeps_http_alive_and_ignores_a_cancel(start: Start) -> None:
    caller = start("hang")
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(klein_graph(), client_id=listener.client_id).json()["prompt_id"]
        at_sampler = {"node": "12", "display_node": "12", "prompt_id": prompt_id}
        listener.wait_for(lambda: {"type": "executing", "data": at_sampler} in listener.messages)

        cancelled = caller.request("POST", f"/api/jobs/{prompt_id}/cancel").json()
        second = caller.submit(klein_graph(seed=2)).json()["prompt_id"]

        assert cancelled == {"cancelled": True}
        assert caller.job(prompt_id)["status"] == "in_progress"
        assert caller.job(second)["status"] == "pending"
        assert caller.get("/prompt") == {"exec_info": {"queue_remaining": 2}}


def test_crash_ends_the_process_in_the_middle_of_a_prompt(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workers.comfy.simulator", "--port", "0", "--data-dir"]
    options = [str(tmp_path), "--fault", "crash", "--step-seconds", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        caller = Caller(process.stdout.readline().split()[-1])
        try:
            caller.upload(png(outline()), "sketch.png", subfolder="llamasketch")
            caller.submit(klein_graph())

            assert process.wait(timeout=10) == 1
        finally:
            caller.close()
            process.kill()


def test_refuse_answers_400_and_queues_nothing(start: Start) -> None:
    caller = start("refuse:once")

    reply = caller.submit(klein_graph())

    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "simulated_refusal"
    assert caller.get("/prompt") == {"exec_info": {"queue_remaining": 0}}


def test_lost_prompt_is_accepted_and_unknown_ever_after(start: Start) -> None:
    caller = start("lost-prompt:once")

    reply = caller.submit(klein_graph())

    assert reply.status_code == 200
    assert caller.job(reply.json()["prompt_id"])["status"] == "unknown"


def test_no_answer_runs_the_prompt_all_the_same(start: Start) -> None:
    caller = start("no-answer:once")
    prompt_id = str(uuid.uuid4())

    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            f"{caller.url}/prompt",
            json={"prompt": klein_graph(), "prompt_id": prompt_id},
            timeout=0.3,
        )

    poll_until(caller, prompt_id, "completed")
    assert caller.get("/simulator/state")["prompts"] == {prompt_id: 1}


def test_lost_event_leaves_only_the_job_record(start: Start) -> None:
    caller = start("lost-event:once")
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(klein_graph(), client_id=listener.client_id).json()["prompt_id"]
        job = poll_until(caller, prompt_id, "completed")
        second = caller.submit(klein_graph(seed=2), client_id=listener.client_id).json()
        listener.wait_until_done(second["prompt_id"])

    assert job["outputs_count"] == 1
    told = {message["type"] for message in listener.messages if _is_about(message, prompt_id)}
    assert {"execution_start", "progress"} <= told
    assert not told & {"executed", "execution_success"}


def test_dropped_socket_ends_without_a_close_frame(start: Start) -> None:
    caller = start("dropped-socket:once", step_s=0.02)
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(klein_graph(), client_id=listener.client_id).json()["prompt_id"]
        listener.wait_for(lambda: listener.is_closed)

    assert listener.close_code == 1006
    poll_until(caller, prompt_id, "completed")


def test_files_go_missing_get_cut_and_come_late(start: Start) -> None:
    caller = start()
    job = run(caller, klein_graph())
    params = {"filename": job["preview_output"]["filename"]}

    def fetch() -> tuple[int, int, float]:
        began_s = time.monotonic()
        reply = caller.request("GET", "/view", params=params)
        return reply.status_code, len(reply.content), time.monotonic() - began_s

    whole = fetch()
    caller.fault("missing-file", once=True)
    missing = fetch()
    caller.fault("truncated-file", once=True)
    half = fetch()
    caller.fault("slow-file", once=True, factor=1.0)
    late = fetch()

    assert (missing[0], missing[1]) == (404, 0)
    assert (half[0], half[1]) == (200, whole[1] // 2)
    assert late[:2] == whole[:2]
    assert late[2] > 0.24


def test_every_kind_can_be_set_and_all_cleared_at_run_time(start: Start) -> None:
    caller = start()
    for kind in FaultKind:
        caller.fault(kind, count=1)

    faults = caller.get("/simulator/state")["faults"]
    cleared = caller.request("DELETE", "/simulator/fault").json()["faults"]
    wrong = caller.request("POST", "/simulator/fault", json={"kind": "flood"})

    assert {fault["kind"] for fault in faults} == set(FaultKind)
    assert cleared == []
    assert wrong.status_code == 400


def _is_about(message: dict[str, Any], prompt_id: str) -> bool:
    about = message.get("metadata") or message.get("data") or {}
    return bool(about.get("prompt_id") == prompt_id)
