import { describe, expect, test } from "vitest";
import { buildEnlarged, enlargedText, enlargingProblem } from "./enlarging";
import type { Job } from "./job";
import { EXAMPLE_IMAGE, EXAMPLE_PARAMS, exampleJob } from "./job-example";

const DONE = exampleJob({
  state: "succeeded",
  seed: 7,
  params: { ...EXAMPLE_PARAMS, variation: 2 },
  images: [EXAMPLE_IMAGE],
});
const BASE: Job = { ...DONE, params: { ...DONE.params, model: "base", negative_prompt: "fog" } };

describe("an image is enlarged", () => {
  const BODY = { sketch: "image:i1", prompt: "a house", model: "distilled", lane: "batch" };

  test("from its id, without what the API refuses: HD by its seed and variation, an upscale by none", () => {
    expect(buildEnlarged(DONE, EXAMPLE_IMAGE, "hd")).toEqual({ ...BODY, mode: "hd", seed: 7, variation: 2 });
    expect(buildEnlarged(DONE, EXAMPLE_IMAGE, "upscale")).toEqual({ ...BODY, mode: "upscale" });
  });

  test("to HD by the model that made it; an upscale takes no model", () => {
    expect(buildEnlarged(BASE, EXAMPLE_IMAGE, "hd")).toMatchObject({ model: "base", negative_prompt: "fog" });
    const upscale = buildEnlarged(BASE, EXAMPLE_IMAGE, "upscale");
    expect(upscale.model).toBe("distilled");
    expect(upscale).not.toHaveProperty("negative_prompt");
  });
});

describe("what is in the way is told", () => {
  const NOT_NOW = "No image machine can do this right now.";
  test.each([
    ["nothing", DONE, "hd", ["hd"], null],
    ["nothing, while no machine answers", DONE, "upscale", null, null],
    ["a machine without it", DONE, "upscale", ["hd"], NOT_NOW],
    ["a machine without the base model", BASE, "hd", ["hd"], NOT_NOW],
    ["nothing for the upscale of a base image", BASE, "upscale", ["upscale"], null],
  ] as const)("%s", (_, job, mode, offered, problem) => {
    expect(enlargingProblem(job, EXAMPLE_IMAGE, mode, offered)).toBe(problem);
  });

  test("an image that is too large already", () => {
    const at = (width: number) => enlargingProblem(DONE, { ...EXAMPLE_IMAGE, width }, "hd", ["hd"]);
    expect(at(1536)).toBeNull();
    expect(at(1552)).toBe("This image is as large as it gets.");
  });
});

test.each([
  ["paint", "", null],
  ["upscale", "lanczos", "1024 × 1024, enlarged with Lanczos"],
  ["upscale", "model 4x-UltraSharp.pth", "1024 × 1024, enlarged with the model 4x-UltraSharp"],
  ["hd", "lanczos", "1024 × 1024, enlarged with Lanczos, then painted finer"],
] as const)("an image of the mode %s and the method %j says: %s", (mode, method, text) => {
  const image = { ...EXAMPLE_IMAGE, width: 1024, height: 1024, method };
  expect(enlargedText(mode, image)).toBe(text);
});
