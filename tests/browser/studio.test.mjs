/** A person's way through the studio: draw, generate, change one's mind, come back. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import {
  compare,
  drawHouse,
  fault,
  LAPTOP,
  newestJob,
  open,
  shot,
  signUp,
  stroke,
  strokeCount,
} from "./studio.mjs";

const LINE = [
  [0.3, 0.3],
  [0.7, 0.7],
];
const OTHER_LINE = [
  [0.3, 0.7],
  [0.7, 0.3],
];

describe("the studio", () => {
  let person;
  let page;

  before(async () => {
    person = await open();
    page = person.page;
    await signUp(page);
    await shot(page, "studio-1-empty");
  });
  after(() => person.close());
  beforeEach(() => {
    person.complaints.length = 0;
  });
  afterEach(() => {
    assert.deepEqual(person.complaints, [], "the page complains about nothing");
  });

  it("shows drawing, prompt and result at 1280 × 720 without scrolling", async () => {
    for (const name of ["drawing", "prompt", "generate", "usage", "account-menu"]) {
      const box = await page.getByTestId(name).boundingBox();
      assert.ok(box !== null && box.width > 0, `${name} is on the page`);
      assert.ok(box.y >= 0 && box.y + box.height <= LAPTOP.height, `${name} is in view`);
    }
    const scrolled = await page.evaluate(
      () => document.documentElement.scrollHeight - document.documentElement.clientHeight,
    );
    assert.equal(scrolled, 0, "nothing to scroll to");
  });

  it("turns a drawn house into an image that follows it", async () => {
    await drawHouse(page);
    await shot(page, "studio-2-house");
    await page.getByTestId("prompt").fill("a brick house with a blue roof");
    await page.keyboard.press("Control+Enter");

    await page.getByTestId("progress-text").waitFor();
    await shot(page, "studio-3-progress");
    await page.getByTestId("preview-image").waitFor();
    await shot(page, "studio-4-preview");
    await page.getByTestId("result-image").waitFor();
    await page.getByTestId("generate").waitFor();
    await shot(page, "studio-5-result");

    const job = await newestJob(page);
    assert.equal(job.state, "succeeded");
    assert.equal(job.params.prompt, "a brick house with a blue roof");
    const { red, blue, paper } = await compare(page, job);
    assert.ok(red.share > 0.04, `the walls are in the sketch: ${red.share}`);
    assert.ok(blue.share > 0.02, `the roof is in the sketch: ${blue.share}`);
    assert.ok(red.mean[0] > red.mean[2] + 25, `the walls are red in the image: ${red.mean}`);
    assert.ok(blue.mean[2] > blue.mean[0] + 15, `the roof is blue in the image: ${blue.mean}`);
    const brightness = ([r, g, b]) => (r + g + b) / 3;
    assert.ok(
      brightness(paper.mean) > brightness(red.mean) + 10,
      "what was not drawn is lighter than the walls",
    );
    assert.equal(await page.getByTestId("history-item").count(), 1);
  });

  it("undoes and redoes strokes", async () => {
    const strokes = await strokeCount(page);
    await stroke(page, LINE);
    assert.equal(await strokeCount(page), strokes + 1);

    await page.getByTestId("undo").click();
    assert.equal(await strokeCount(page), strokes);
    await page.getByTestId("redo").click();
    assert.equal(await strokeCount(page), strokes + 1);
    await page.getByTestId("drawing").focus();
    await page.keyboard.press("Control+z");
    assert.equal(await strokeCount(page), strokes);
    await page.keyboard.press("Control+Shift+Z");
    assert.equal(await strokeCount(page), strokes + 1);
  });

  it("keeps the drawing and the images over a reload", async () => {
    const strokes = await strokeCount(page);
    assert.ok(strokes > 0);

    // Strokes are saved a moment after they are made.
    await page.waitForTimeout(1000);
    await page.reload();
    await page.getByTestId("history-item").first().waitFor();

    assert.equal(await strokeCount(page), strokes);
    assert.equal(await page.getByTestId("history-item").count(), 1);
    await shot(page, "studio-6-reloaded");
  });

  it("cancels an image under way", async () => {
    await page.getByTestId("generate").click();
    await page.getByTestId("progress-bar").waitFor();
    await page.getByTestId("cancel").click();
    await page.getByTestId("generate").waitFor();
    await shot(page, "studio-7-cancelled");

    const job = await newestJob(page);
    assert.equal(job.state, "cancelled");
    assert.equal(job.charged, false);
    assert.deepEqual(job.images, []);
  });

  it("says what failed, that nothing was charged, and tries again", async () => {
    await fault("out-of-memory");
    try {
      await page.getByTestId("generate").click();
      await page.getByTestId("failure").waitFor();
      await shot(page, "studio-8-failure");
      const text = await page.getByTestId("failure").innerText();
      assert.match(text, /memory/i);
      assert.match(text, /nothing was charged/i);
      assert.doesNotMatch(text, /Traceback|Error\(|\.py|\/usr|\/tmp|undefined|\[object/);
    } finally {
      await fault(null);
    }

    await page.getByTestId("try-again").click();
    await page.getByTestId("result-image").waitFor();
    await page.getByTestId("generate").waitFor();
    assert.equal((await newestJob(page)).state, "succeeded");
  });

  it("clears the paper, and undo brings the drawing back", async () => {
    const strokes = await strokeCount(page);
    await page.getByTestId("clear").click();
    assert.equal(await strokeCount(page), 0);

    await page.getByTestId("undo").click();

    assert.equal(await strokeCount(page), strokes);
  });

  it("changes its colours with the theme switch", async () => {
    const background = () =>
      page.evaluate(() => {
        const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) ?? [];
        return (Number(r) + Number(g) + Number(b)) / 3;
      });
    const light = await background();
    assert.ok(light > 150, `light to begin with: ${light}`);

    for (let press = 0; press < 3 && (await background()) > 100; press += 1) {
      await page.getByTestId("theme-switch").click();
      await page.waitForTimeout(400);
    }
    await shot(page, "studio-9-dark");

    assert.ok((await background()) < 100, "dark after the switch");
  });
});

describe("two people", () => {
  it("never see each other's drawing or images", async () => {
    const people = [await open(), await open()];
    try {
      for (const [{ page }, line] of [
        [people[0], LINE],
        [people[1], OTHER_LINE],
      ]) {
        await signUp(page);
        assert.equal(await strokeCount(page), 0, "a new person's paper is empty");
        await stroke(page, line);
        await page.getByTestId("generate").click();
      }
      for (const { page } of people) {
        await page.getByTestId("result-image").waitFor();
        await page.getByTestId("generate").waitFor();
        assert.equal(await page.getByTestId("history-item").count(), 1);
      }
      const jobs = await Promise.all(people.map(({ page }) => newestJob(page)));
      assert.notEqual(jobs[0].id, jobs[1].id);
      const status = await people[1].page.evaluate(
        async (url) => (await fetch(url)).status,
        jobs[0].images[0].url,
      );
      assert.equal(status, 404);
    } finally {
      await Promise.all(people.map((person) => person.close()));
    }
  });
});
