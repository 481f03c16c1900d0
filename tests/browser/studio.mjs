/** A person at the studio: a browser, an account, a mouse, and eyes for colours. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../../frontend/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core");

export const URLS = {
  studio: needed("LLAMASKETCH_URL"),
  closed: needed("LLAMASKETCH_CLOSED_URL"),
  simulator: needed("LLAMASKETCH_SIMULATOR_URL"),
};
export const LAPTOP = { width: 1280, height: 720 };
export const PHONE = { width: 390, height: 844 };

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PATIENCE_MS = 30_000;
let people = 0;

/** Open a browser of one's own; what the page complains about is collected in `complaints`. */
export async function open({ viewport = LAPTOP, touch = false, scheme = "light" } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "llamasketch-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: needed("LLAMASKETCH_CHROMIUM"),
    args: ARGUMENTS,
    headless: true,
    viewport,
    hasTouch: touch,
    colorScheme: scheme,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
  });
  return {
    page,
    complaints,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Sign up as somebody new; ends in the studio. */
export async function signUp(page) {
  people += 1;
  await page.goto(`${URLS.studio}/accounts/signup/`);
  await page.locator("input[name=email]").fill(`person-${process.pid}-${people}@example.com`);
  await page.locator("input[name=password1]").fill("three llamas draw a house");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.waitForURL("**/app");
  await page.getByTestId("drawing").waitFor();
}

/** Keep a picture of the page in test-results. */
export async function shot(page, name) {
  await page.screenshot({ path: join(needed("LLAMASKETCH_SHOTS"), `${name}.png`) });
}

/** Drag the mouse along points; 0 to 1 across the square in the drawing's middle. */
export async function stroke(page, points) {
  const box = await page.getByTestId("drawing").boundingBox();
  assert.ok(box !== null, "the drawing is on the page");
  const side = Math.min(box.width, box.height);
  const place = ([x, y]) => [
    box.x + box.width / 2 + (x - 0.5) * side,
    box.y + box.height / 2 + (y - 0.5) * side,
  ];
  const [first, ...rest] = points.map(place);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 6 });
  await page.mouse.up();
}

/** Draw a house with a wide brush: ground, brick walls and a blue roof. */
export async function drawHouse(page) {
  await page.getByTestId("width").fill("70");
  // The ground first: an empty paper's middle offers preset drawings.
  await page.getByRole("button", { name: "Moss" }).click();
  await stroke(page, [
    [0.1, 0.86],
    [0.9, 0.86],
  ]);
  await page.getByRole("button", { name: "Brick" }).click();
  for (let y = 0.52; y <= 0.76; y += 0.04) {
    await stroke(page, [
      [0.3, y],
      [0.7, y],
    ]);
  }
  await page.getByRole("button", { name: "Sea" }).click();
  for (let y = 0.26; y <= 0.46; y += 0.04) {
    const half = (y - 0.2) * 0.85;
    await stroke(page, [
      [0.5 - half, y],
      [0.5 + half, y],
    ]);
  }
}

/** How many strokes the drawing says that it has. */
export async function strokeCount(page) {
  const label = await page.getByTestId("drawing").getAttribute("aria-label");
  return label === "Empty paper" ? 0 : Number(/(\d+) stroke/.exec(label ?? "")?.[1]);
}

/** The newest job, as the page's own session sees it. */
export async function newestJob(page) {
  return await page.evaluate(async () => (await (await fetch("/api/jobs")).json()).jobs[0]);
}

/**
 * The image's mean colour where the sketch is red, where it is blue, and where it is paper.
 *
 * Returns {red, blue, paper}, each {share, mean: [r, g, b]}.
 */
export async function compare(page, job) {
  return await page.evaluate(
    async ([sketchUrl, imageUrl]) => {
      const pixels = async (url, width, height) => {
        const bitmap = await createImageBitmap(await (await fetch(url)).blob());
        const canvas = new OffscreenCanvas(width ?? bitmap.width, height ?? bitmap.height);
        const context = canvas.getContext("2d");
        context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
        return context.getImageData(0, 0, canvas.width, canvas.height);
      };
      const image = await pixels(imageUrl);
      const sketch = await pixels(sketchUrl, image.width, image.height);
      const seen = {
        red: { count: 0, sum: [0, 0, 0] },
        blue: { count: 0, sum: [0, 0, 0] },
        paper: { count: 0, sum: [0, 0, 0] },
      };
      for (let at = 0; at < sketch.data.length; at += 4) {
        const [r, g, b] = sketch.data.subarray(at, at + 3);
        const kind =
          r > b + 60 ? "red" : b > r + 40 ? "blue" : Math.min(r, g, b) > 240 ? "paper" : null;
        if (kind === null) continue;
        seen[kind].count += 1;
        for (const part of [0, 1, 2]) seen[kind].sum[part] += image.data[at + part];
      }
      const total = image.width * image.height;
      return Object.fromEntries(
        Object.entries(seen).map(([kind, { count, sum }]) => [
          kind,
          { share: count / total, mean: sum.map((part) => part / count) },
        ]),
      );
    },
    [job.sketch_url, job.images[0].url],
  );
}

/** Put a fault of the simulator in force, or end all with null. */
export async function fault(kind) {
  const url = `${URLS.simulator}/simulator/fault`;
  const body = JSON.stringify({ kind });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(
    url,
    kind === null ? { method: "DELETE" } : { method: "POST", body, headers },
  );
  assert.equal(answer.status, 200, await answer.text());
}

/** What axe finds that would keep somebody out. */
export async function barriers(page) {
  // Evaluated, not added as a script: the page's own security policy stays in force.
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help} (${nodes.map((node) => node.target).join("; ")})`);
}

function needed(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run ./scripts/test --only browser`);
  return value;
}
