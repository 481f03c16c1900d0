"""Graph nodes for ComfyUI: an image is encoded while the GPU makes the next one.

A folder to be copied into ComfyUI's custom_nodes; see README.md. Its modules import each other
relatively, since ComfyUI names a pack by where it lies, and nothing but `nodes` and `routes` knows
ComfyUI. Without ComfyUI and torch everything here can still be imported.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, image_saver
from .routes import routes_register

# ComfyUI's own way for a pack: what is imported has registered itself.
routes_register(image_saver)

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "image_saver"]
