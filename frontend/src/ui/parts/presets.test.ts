import { expect, test } from "vitest";
import { EMPTY_DOCUMENT } from "../../core/document";
import { type Preset, presetStrokes, restoreDocument, storeDocument } from "../../core/sketch-json";

const files = import.meta.glob<Preset>("../../../../generation/presets/*.json", {
  eager: true,
  import: "default",
});

test("there are four presets", () => {
  expect(
    Object.values(files)
      .map((preset) => preset.id)
      .sort(),
  ).toEqual(["boat", "cat", "house", "mountains"]);
});

test.each(Object.entries(files))(
  "%s is a drawing that the studio accepts, within its paper",
  (path, preset) => {
    expect(path.endsWith(`/${preset.id}.json`)).toBe(true);
    expect([preset.width, preset.height]).toEqual([512, 512]);
    const strokes = presetStrokes(preset, () => "id");
    expect(restoreDocument(storeDocument({ ...EMPTY_DOCUMENT, strokes }))?.strokes).toEqual(strokes);
    for (const { x, y, pressure } of strokes.flatMap((stroke) => stroke.points)) {
      expect(Math.min(x, y)).toBeGreaterThan(-32);
      expect(Math.max(x, y)).toBeLessThan(544);
      expect(pressure).toBeGreaterThan(0);
      expect(pressure).toBeLessThanOrEqual(1);
    }
  },
);
