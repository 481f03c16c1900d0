"""A ComfyUI server without a GPU: the same HTTP, WebSocket and files, painted on the CPU.

Run it with `python -m workers.comfy.simulator`. What it says was taken from recordings of a
ComfyUI 0.29.0 (`workers/comfy/recordings`), and the contract test holds it against them.
"""
