"""The pack's version, which is in every image that it writes."""

VERSION = "1.2.0"
SOFTWARE = f"LlamaSketch nodes {VERSION}"
