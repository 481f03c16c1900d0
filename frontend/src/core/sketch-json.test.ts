import { describe, expect, test } from "vitest";
import { contentHash } from "./content-hash";
import { EMPTY_DOCUMENT, paperFor, type SketchDocument } from "./document";
import { type Preset, presetStrokes, restoreDocument, storeDocument } from "./sketch-json";

const PRESET: Preset = {
  id: "dot",
  name: "Dot",
  prompt: "a dot",
  width: 512,
  height: 512,
  strokes: [
    {
      color: "#ff0000",
      width: 12,
      points: [
        [1, 2, 0.5],
        [3, 4, 0.75],
      ],
    },
  ],
};

function numbered(): () => string {
  let next = 0;
  return () => String(next++);
}

const DRAWN: SketchDocument = {
  paper: paperFor({ width: 688, height: 384 }),
  strokes: presetStrokes(PRESET, numbered()),
};

describe("a stored drawing", () => {
  test("comes back as it was", () => {
    const back = restoreDocument(structuredClone(storeDocument(DRAWN)));
    expect(back).toEqual(DRAWN);
    expect(back && contentHash(back)).toBe(contentHash(DRAWN));
  });

  test("an empty one too", () => {
    expect(restoreDocument(storeDocument(EMPTY_DOCUMENT))).toEqual(EMPTY_DOCUMENT);
  });

  const stored = structuredClone(storeDocument(DRAWN));
  const [first] = stored.strokes;
  test.each([
    ["nothing", null],
    ["text", "x"],
    ["another version", { ...stored, version: 2 }],
    ["no strokes", { version: 1, paper: stored.paper }],
    ["no paper", { version: 1, strokes: [] }],
    ["a bad tool", { ...stored, strokes: [{ ...first, tool: "laser" }] }],
    ["a bad colour", { ...stored, strokes: [{ ...first, colour: "url(x)" }] }],
    ["half a point", { ...stored, strokes: [{ ...first, points: Float64Array.of(1, 2) }] }],
    ["a list of points", { ...stored, strokes: [{ ...first, points: [[1, 2, 3]] }] }],
    ["a bad point", { ...stored, strokes: [{ ...first, points: Float64Array.of(1, Number.NaN, 3) }] }],
  ])("%s is refused", (_, value) => {
    expect(restoreDocument(value)).toBeNull();
  });
});

test("a preset becomes brush strokes with ids of their own", () => {
  const [stroke] = presetStrokes(PRESET, numbered());
  expect(stroke).toMatchObject({ id: "0", tool: "brush", colour: "#ff0000", width: 12, opacity: 1 });
  expect(stroke?.points[1]).toEqual({ x: 3, y: 4, pressure: 0.75 });
});
