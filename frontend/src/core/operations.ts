/** Operations: every change to what is drawn, each with its inverse. */
import type { SketchDocument, Stroke } from "./document";
import { unreachable } from "./never";

export type Operation =
  | { readonly type: "stroke.add"; readonly stroke: Stroke }
  | { readonly type: "stroke.remove"; readonly stroke: Stroke }
  /** Clear, and loading a preset: all strokes at once. */
  | {
      readonly type: "strokes.replace";
      readonly before: readonly Stroke[];
      readonly after: readonly Stroke[];
    };

/** Apply an operation to the document that it was made for. */
export function applyOperation(document: SketchDocument, operation: Operation): SketchDocument {
  switch (operation.type) {
    case "stroke.add":
      return { ...document, strokes: [...document.strokes, operation.stroke] };
    case "stroke.remove":
      // The inverse of an add always meets its stroke at the end.
      return { ...document, strokes: document.strokes.slice(0, -1) };
    case "strokes.replace":
      return { ...document, strokes: operation.after };
    default:
      return unreachable(operation);
  }
}

export function inverse(operation: Operation): Operation {
  switch (operation.type) {
    case "stroke.add":
      return { type: "stroke.remove", stroke: operation.stroke };
    case "stroke.remove":
      return { type: "stroke.add", stroke: operation.stroke };
    case "strokes.replace":
      return { type: "strokes.replace", before: operation.after, after: operation.before };
    default:
      return unreachable(operation);
  }
}
