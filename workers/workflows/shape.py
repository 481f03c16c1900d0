"""The shape of a graph: which template it is, and which parts change it."""

from dataclasses import dataclass

from workers.workflows.order import Model, Workflow


@dataclass(frozen=True, slots=True)
class Shape:
    """All that decides about a graph's nodes and links, apart from the values in it."""

    workflow: Workflow
    model: Model = Model.DISTILLED
    references: int = 0
    is_anchored: bool = False
    is_varied: bool = False
    is_sampled: bool = True
    is_tiled: bool = False
    has_pack: bool = False
    has_jpeg: bool = False  # whether the pack saves it; since 1.2
    has_upscaler: bool = False

    def parts(self) -> tuple[str, ...]:
        """Name the template, then the parts in the order in which they are applied."""
        names = [_TEMPLATES[self.workflow]]
        if self.workflow is Workflow.UPSCALE:
            names += ["upscaler.v1"] * self.has_upscaler
        else:
            names += self._painting_parts()
        if self.has_pack:
            names.append(self._saving_part())
        return tuple(names)

    def _painting_parts(self) -> list[str]:
        names = []
        if self.model is Model.BASE:
            names.append("base.v1")
        if self.references:
            names += ["references.v1", *["reference.v1"] * self.references]
        if self.is_anchored:
            names += ["anchor.v1", f"anchor-{self.workflow}.v1"]
        if self.is_varied:
            names.append("variations.v1")
        if self.is_tiled:
            names.append("tiled.v1")
        # A sketch that nobody painted on may well be blank: then there is nothing to check.
        if self.has_pack and self.is_sampled:
            names.append("check.v1")
        return names

    def _saving_part(self) -> str:
        if self.is_anchored or self.workflow is Workflow.UPSCALE:
            return "save-png.v1"
        return "save-jpeg.v1" if self.has_jpeg else "save-webp.v1"


_TEMPLATES = {
    Workflow.PAINT: "paint.v1",
    Workflow.FOLLOW: "follow.v1",
    Workflow.HD: "hd.v1",
    Workflow.UPSCALE: "upscale.v1",
}
