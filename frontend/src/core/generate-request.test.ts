import { describe, expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "./config-example";
import { EMPTY_DOCUMENT, type SketchDocument } from "./document";
import { buildGenerate, checkGenerate } from "./generate-request";
import {
  defaultSettings,
  drawSeed,
  parseSeed,
  restoreSettings,
  SEED_LIMIT,
  type Settings,
  strengthWords,
} from "./settings";

const SETTINGS: Settings = { ...defaultSettings(EXAMPLE_CONFIG, 42), prompt: " a house " };
const DRAWN: SketchDocument = {
  ...EMPTY_DOCUMENT,
  strokes: [
    {
      id: "a",
      tool: "brush",
      colour: "#000000",
      width: 4,
      opacity: 1,
      points: [{ x: 1, y: 1, pressure: 0.5 } as never],
    },
  ],
};

describe("checking", () => {
  test("an empty drawing is explained instead of sent", () => {
    expect(checkGenerate(EMPTY_DOCUMENT, SETTINGS, EXAMPLE_CONFIG)).toEqual({ type: "empty" });
  });

  test("a drawing with good settings is ready", () => {
    expect(checkGenerate(DRAWN, SETTINGS, EXAMPLE_CONFIG)).toEqual({ type: "ready" });
  });

  test.each([
    ["prompt", { prompt: "x".repeat(2001) }],
    ["denoise", { strength: 1.2 }],
    ["denoise", { strength: Number.NaN }],
    ["steps", { steps: 51 }],
    ["steps", { steps: 2.5 }],
    ["seed", { seed: -1 }],
    ["seed", { seed: SEED_LIMIT + 1 }],
    ["width", { width: 500 }],
  ] as const)("%s out of range is named", (field, change) => {
    const check = checkGenerate(DRAWN, { ...SETTINGS, ...change }, EXAMPLE_CONFIG);
    expect(check.type === "invalid" && Object.keys(check.fields)).toEqual([field]);
  });
});

test("the body has the API's names and a trimmed prompt", () => {
  expect(buildGenerate("aGk=", { ...SETTINGS, strength: 0.7499999 })).toEqual({
    sketch: "aGk=",
    prompt: "a house",
    mode: "paint",
    denoise: 0.75,
    steps: 4,
    seed: 42,
    width: 512,
    height: 512,
    count: 1,
    lane: "batch",
  });
});

describe("settings", () => {
  test.each([
    ["0", 0],
    [" 17 ", 17],
    ["9007199254740863", SEED_LIMIT],
    ["9007199254740864", null],
    ["-1", null],
    ["1.5", null],
    ["", null],
    ["1e3", null],
  ])("the seed %j reads as %j", (text, seed) => {
    expect(parseSeed(text)).toBe(seed);
  });

  test("drawn seeds are whole numbers in range", () => {
    expect(drawSeed(0)).toBe(0);
    expect(drawSeed(1 - Number.EPSILON)).toBe(2 ** 32 - 1);
  });

  test("remembered settings survive what this server does not offer", () => {
    const stored = { prompt: "cat", strength: 0.3, seed: 5, seedLocked: true, width: 999, height: 1 };
    expect(restoreSettings(stored, EXAMPLE_CONFIG, SETTINGS)).toEqual({
      ...SETTINGS,
      prompt: "cat",
      strength: 0.3,
      seed: 5,
      seedLocked: true,
    });
    expect(
      restoreSettings(
        { prompt: 5, strength: "x", seed: -4, width: 688, height: 384 },
        EXAMPLE_CONFIG,
        SETTINGS,
      ),
    ).toEqual({
      ...SETTINGS,
      width: 688,
      height: 384,
    });
    expect(restoreSettings(null, EXAMPLE_CONFIG, SETTINGS)).toBe(SETTINGS);
  });

  test("strength has words from one end to the other", () => {
    expect(new Set([0, 0.4, 0.75, 0.9, 1].map(strengthWords)).size).toBe(5);
  });
});
