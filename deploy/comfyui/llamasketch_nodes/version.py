"""The pack's version, which is in every image that it writes."""

VERSION = "1.1.0"
SOFTWARE = f"LlamaSketch nodes {VERSION}"
