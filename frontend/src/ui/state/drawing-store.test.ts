import { expect, test } from "vitest";
import type { Stroke } from "../../core/document";
import type { Preset } from "../../core/sketch-json";
import { createDrawingStore, WIDTH_RANGE } from "./drawing-store";

const STROKE: Stroke = {
  id: "a",
  tool: "brush",
  colour: "#000000",
  width: 4,
  opacity: 1,
  points: [{ x: 1, y: 1, pressure: 0.5 } as never],
};
const PRESET: Preset = {
  id: "dot",
  name: "Dot",
  prompt: "",
  width: 512,
  height: 512,
  strokes: [{ color: "#ff0000", width: 4, points: [[1, 1, 0.5]] }],
};

test("clear and a preset are single steps to undo", () => {
  const store = createDrawingStore();
  store.add(STROKE);
  store.clear();
  store.load(PRESET);
  expect(store.document.value.strokes.map((stroke) => stroke.colour)).toEqual(["#ff0000"]);
  store.undo();
  expect(store.empty.value).toBe(true);
  store.undo();
  expect(store.document.value.strokes).toEqual([STROKE]);
});

test("clearing an empty drawing is no step", () => {
  const store = createDrawingStore();
  store.clear();
  expect(store.canUndo.value).toBe(false);
});

test("brush and eraser keep widths of their own, within their range", () => {
  const store = createDrawingStore();
  store.setWidth(500);
  store.choose("eraser");
  const eraser = store.ink.value.width;
  store.stepWidth(1);
  expect(store.ink.value.width).toBeGreaterThan(eraser);
  store.choose("brush");
  expect(store.ink.value.width).toBe(WIDTH_RANGE.max);
  for (let step = 0; step < 100; step += 1) store.stepWidth(-1);
  expect(store.ink.value.width).toBe(WIDTH_RANGE.min);
});

test("choosing a colour takes up the brush", () => {
  const store = createDrawingStore();
  store.choose("eraser");
  store.setColour("#123456");
  expect(store.ink.value).toMatchObject({ tool: "brush", colour: "#123456" });
});

test("the view follows the paper until it is moved, and again when asked", () => {
  const store = createDrawingStore();
  store.resizeView({ width: 256, height: 256 });
  expect(store.tools.value.viewport.scale).toBe(0.5);
  store.moveView({ scale: 2, x: 0, y: 0 });
  store.resizeView({ width: 512, height: 512 });
  expect(store.tools.value.viewport.scale).toBe(2);
  store.showAll();
  expect(store.tools.value.viewport.scale).toBe(1);
});

test("other paper keeps the strokes", () => {
  const store = createDrawingStore();
  store.add(STROKE);
  store.setPaper({ width: 688, height: 384 });
  expect(store.document.value.strokes).toEqual([STROKE]);
  expect(store.document.value.paper.width).toBeGreaterThan(store.document.value.paper.height);
});
