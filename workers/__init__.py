"""What drives a GPU machine: ComfyUI's protocol, the graphs, and attempts at an image."""
