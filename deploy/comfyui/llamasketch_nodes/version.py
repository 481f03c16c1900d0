"""The pack's version, which is in every image that it writes."""

VERSION = "1.3.0"
SOFTWARE = f"LlamaSketch nodes {VERSION}"
