import { describe, expect, test } from "vitest";
import { isOffered, workflowOf } from "./mode";

describe("what the image machines offer", () => {
  test.each([
    ["paint", "distilled", "paint"],
    ["follow", "base", "follow-base"],
    ["hd", "base", "hd-base"],
    ["upscale", "base", "upscale"],
  ] as const)("%s with the %s model is the workflow %s", (mode, model, workflow) => {
    expect(workflowOf(mode, model)).toBe(workflow);
  });

  test("is what they named; while none answers, nothing is ruled out", () => {
    expect(isOffered(["paint", "hd"], "hd", "distilled")).toBe(true);
    expect(isOffered(["paint", "hd"], "hd", "base")).toBe(false);
    expect(isOffered(["paint", "hd"], "follow", "distilled")).toBe(false);
    expect(isOffered(null, "follow", "distilled")).toBe(true);
  });
});
