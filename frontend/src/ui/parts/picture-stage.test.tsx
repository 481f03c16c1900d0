// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Picture, PictureStage } from "./picture-stage";

/** Pictures that are decoded when the test says so. */
const decoding = new Map<string, { done: () => void; gone: () => void }>();

class SlowImage {
  src = "";
  decode(): Promise<void> {
    return new Promise((resolve, reject) => {
      decoding.set(this.src, { done: resolve, gone: () => reject(new Error("404")) });
    });
  }
}

beforeEach(() => {
  decoding.clear();
  vi.stubGlobal("Image", SlowImage);
});
afterEach(() => {
  render(null, document.body);
  vi.unstubAllGlobals();
});

async function show(picture: Picture | null, keep = true): Promise<void> {
  await act(() => render(<PictureStage picture={picture} keep={keep} />, document.body));
}

async function arrive(url: string): Promise<void> {
  await act(async () => decoding.get(url)?.done());
}

function seen(): string | null {
  return document.querySelector("img[data-testid]")?.getAttribute("src") ?? null;
}

const preview = (url: string): Picture => ({ url, kind: "preview", alt: "Preview" });
const result = (url: string): Picture => ({ url, kind: "result", alt: "Image" });

test("a picture is shown once it is decoded, and not before", async () => {
  await show(preview("/1"));
  expect(seen()).toBeNull();
  await arrive("/1");
  expect(seen()).toBe("/1");
});

test("an older picture that comes late never covers a newer one", async () => {
  await show(preview("/1"));
  await show(result("/2"));
  await arrive("/2");
  await arrive("/1");
  expect(seen()).toBe("/2");
});

test("a preview that is gone leaves what is shown", async () => {
  await show(preview("/1"));
  await arrive("/1");
  await show(preview("/2"));
  await act(async () => decoding.get("/2")?.gone());
  expect(seen()).toBe("/1");
});

test("the last picture stays while a new image is under way, and goes otherwise", async () => {
  await show(result("/1"));
  await arrive("/1");
  await show(null, true);
  expect(seen()).toBe("/1");
  await show(null, false);
  expect(seen()).toBeNull();
});

test("the picture under the new one goes when the fade has ended", async () => {
  await show(preview("/1"));
  await arrive("/1");
  await show(result("/2"));
  await arrive("/2");
  expect(document.querySelectorAll("img")).toHaveLength(2);
  await act(() => {
    document.querySelector("img[data-testid]")?.dispatchEvent(new Event("animationend"));
  });
  expect(document.querySelectorAll("img")).toHaveLength(1);
});
