"""What a GPU machine's ComfyUI gets."""
