"""ComfyUI's protocol, read and spoken; it knows nothing of the rest of LlamaSketch."""
