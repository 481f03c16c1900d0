"""Parameters become a ComfyUI graph."""
