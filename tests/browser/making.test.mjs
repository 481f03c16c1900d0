/** Ways to make an image: over the drawing, after it, again and again, and larger. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { barriers, LAPTOP, newestJob, open, shot, signUp, stroke } from "./studio.mjs";

describe("making images", () => {
  let person;
  let page;

  before(async () => {
    person = await open();
    page = person.page;
    await signUp(page);
    await stroke(page, [
      [0.3, 0.3],
      [0.7, 0.4],
      [0.4, 0.7],
    ]);
    await page.getByTestId("prompt").fill("a paper kite");
  });
  after(() => person.close());
  beforeEach(() => {
    person.complaints.length = 0;
  });
  afterEach(() => {
    assert.deepEqual(person.complaints, [], "the page complains about nothing");
  });

  it("follows the sketch, chosen by the keyboard, and says so where the strength was", async () => {
    await page.getByTestId("strength").waitFor();
    await page.getByRole("radio", { name: "Paint over" }).focus();
    await page.keyboard.press("ArrowRight");

    assert.ok(await page.getByRole("radio", { name: "Follow the sketch" }).isChecked());
    assert.equal(await page.getByTestId("strength").count(), 0);
    assert.match(await page.getByTestId("mode-note").innerText(), /your lines/i);
    const box = await page.getByTestId("generate").boundingBox();
    assert.ok(box !== null && box.y + box.height <= LAPTOP.height, "Generate stays in view");
    await shot(page, "making-1-follow");
    assert.deepEqual(await barriers(page), []);

    const sent = page.waitForRequest((request) => request.url().endsWith("/api/generate"));
    await page.getByTestId("generate").click();
    const sketch = Buffer.from((await sent).postDataJSON().sketch.split(",").pop(), "base64");
    await page.getByTestId("result-image").waitFor();

    const job = await newestJob(page);
    assert.deepEqual([job.state, job.params.mode], ["succeeded", "follow"]);
    // What the server keeps as it came: red, green and blue, and no alpha.
    assert.deepEqual([sketch.toString("latin1", 1, 4), sketch[24], sketch[25]], ["PNG", 8, 2]);
  });

  it("asks the careful model, which listens to what is not wanted", async () => {
    assert.equal(await page.getByTestId("negative-prompt").count(), 0);
    await page.getByRole("combobox", { name: "Quality" }).selectOption("Careful");
    await page.getByRole("textbox", { name: "What should it not show?" }).fill("fog");
    for (const name of ["prompt", "negative-prompt", "seed", "generate"]) {
      const box = await page.getByTestId(name).boundingBox();
      assert.ok(box !== null && box.y + box.height <= LAPTOP.height, `${name} is in view`);
    }
    await shot(page, "making-0-careful");
    assert.deepEqual(await barriers(page), []);
    await page.getByTestId("generate").click();
    await page.getByTestId("cancel").click();
    await page.getByTestId("generate").waitFor();

    const { params } = await newestJob(page);
    assert.deepEqual([params.model, params.negative_prompt, params.steps], ["base", "fog", 20]);
    await page.getByTestId("quality").selectOption("Quick");
    assert.equal(await page.getByTestId("negative-prompt").count(), 0);
  });

  it("remembers the mode over a reload, and paints over again", async () => {
    await page.reload();
    await page.getByTestId("mode-note").waitFor();
    await page.getByRole("radio", { name: "Follow the sketch" }).focus();
    await page.keyboard.press("ArrowLeft");
    await page.getByTestId("strength").waitFor();

    await page.getByTestId("generate").click();
    await page.getByTestId("progress-bar").waitFor();
    await page.getByTestId("result-image").waitFor();
    await page.getByTestId("generate").waitFor();

    assert.equal((await newestJob(page)).params.mode, "paint");
  });

  it("makes eight variations, shows each as soon as it is ready, and opens one", async () => {
    const source = await newestJob(page);
    const before = await page.getByTestId("history-item").count();
    await page.getByTestId("variations").click();
    await page.getByTestId("vary-8").click();

    await page.getByText("0 of 8 ready").waitFor();
    // Four are made at a time: the first are seen while the others are still to come.
    await page.getByTestId("tile").first().waitFor();
    assert.match(await page.getByTestId("progress-text").innerText(), /^[1-7] of 8 ready$/);
    await page.getByTestId("stop-batch").waitFor();
    await shot(page, "making-2-variations");
    assert.deepEqual(await barriers(page), []);

    await page.getByText("All 8 ready").waitFor();
    assert.equal(await page.getByTestId("tile").count(), 8);
    assert.equal(await page.getByTestId("stop-batch").count(), 0);
    assert.equal(await page.getByTestId("history-item").count(), before + 8);

    const jobs = (await jobsOf(page)).slice(0, 8);
    assert.equal(new Set(jobs.map((job) => job.batch_id)).size, 1);
    assert.equal(new Set(jobs.map((job) => `${job.seed}/${job.params.variation}`)).size, 8);
    for (const { params } of jobs) {
      assert.deepEqual({ ...params, variation: 0 }, { ...source.params, variation: 0 });
    }
    assert.equal(await sketchOf(page, jobs[0]), await sketchOf(page, source), "the same drawing");

    await page.getByRole("button", { name: "Variation 2 of 8" }).click();
    await page.getByTestId("result-image").waitFor();
    await shot(page, "making-3-one-of-eight");
    await page.getByTestId("show-batch").click();
    assert.equal(await page.getByTestId("tile").count(), 8);
  });

  it("makes one of them again from seed and variation", async () => {
    // Newest first: the last of these is the second of the eight.
    const second = (await jobsOf(page)).slice(0, 8).findLast((job) => job.params.variation === 1);
    await page.getByRole("button", { name: "Variation 2 of 8" }).click();
    await page.getByTestId("use-settings").click();
    await page.getByText("Image 2 of this seed").waitFor({ state: "attached" });
    await page.getByTestId("generate").click();
    await page.getByTestId("progress-bar").waitFor();
    await page.getByTestId("result-image").waitFor();
    await page.getByTestId("generate").waitFor();

    const again = await newestJob(page);
    assert.notEqual(again.id, second.id);
    assert.deepEqual([again.seed, again.params.variation], [second.seed, 1]);
    assert.equal(await pixelsOf(page, again), await pixelsOf(page, second), "the same image");
    await page.getByTestId("seed-lock").click();
  });

  it("stops the rest of sixteen by one press, and charges what was made", async () => {
    const used = await usedToday(page);
    await page.getByTestId("variations").click();
    await page.getByTestId("vary-16").click();
    await page.getByTestId("tile").first().waitFor();
    await page.getByTestId("stop-batch").click();
    await page.getByText("the rest stopped").waitFor();
    await shot(page, "making-4-stopped");

    const states = (await jobsOf(page)).slice(0, 16).map((job) => job.state);
    const ready = states.filter((state) => state === "succeeded").length;
    assert.equal(states.filter((state) => state === "cancelled").length, 16 - ready);
    assert.ok(ready >= 1 && ready <= 12, `some, not all: ${ready}`);
    assert.equal(await page.getByTestId("tile").count(), ready);
    assert.equal(await usedToday(page), used + ready);
  });

  it("makes a finished image larger, and says how", async () => {
    const source = (await jobsOf(page)).find((job) => job.state === "succeeded");
    assert.notEqual(source.params.variation, 0, "one that its seed alone does not make");
    await page.getByTestId("history-item").first().click();
    await page.getByTestId("enlarge").click();
    await shot(page, "making-5-larger");
    assert.deepEqual(await barriers(page), []);
    await page.getByTestId("upscale").click();

    await page.getByTestId("enlarged-note").waitFor();
    await shot(page, "making-6-upscaled");
    const job = await newestJob(page);
    assert.deepEqual([job.state, job.params.mode], ["succeeded", "upscale"]);
    const { width, height, method } = job.images[0];
    assert.deepEqual([width, height], [2 * source.images[0].width, 2 * source.images[0].height]);
    const note = await page.getByTestId("enlarged-note").innerText();
    assert.match(note, new RegExp(`^${width} × ${height}, enlarged with `));
    assert.ok(note.toLowerCase().includes(method.replace(/^model |\.\w+$/g, "").toLowerCase()), note);
    await page.getByRole("button", { name: "a paper kite, 2×" }).waitFor();
  });

  it("offers the same in the history, by the keyboard too", async () => {
    await page.getByTestId("history-item").nth(1).focus();
    await page.keyboard.press("Shift+F10");
    const menu = page.getByTestId("image-menu");
    await menu.getByRole("group", { name: "Larger" }).waitFor();
    await shot(page, "making-7-history-menu");
    assert.deepEqual(await barriers(page), []);
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "detached" });
    assert.ok(
      await page
        .getByTestId("history-item")
        .nth(1)
        .evaluate((item) => item === document.activeElement),
      "the focus is where it was",
    );

    await page.getByTestId("history-item").nth(1).click({ button: "right" });
    await menu.getByTestId("hd").click();
    await page.getByText(/^1024 × 1024, enlarged with .+, then painted finer$/).waitFor();
    assert.equal((await newestJob(page)).params.mode, "hd");
  });

  it("says why what no machine can make cannot be chosen", async () => {
    await page.route("**/api/config", async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ json: { ...(await answer.json()), workflows: ["paint", "hd"] } });
    });
    await page.getByTestId("enlarge").click();
    const upscale = page.getByTestId("upscale");
    await upscale.getByText("No image machine can do this right now.").waitFor();
    assert.equal(await upscale.getAttribute("aria-disabled"), "true");
    assert.equal(await page.getByTestId("hd").getAttribute("aria-disabled"), "false");
    await shot(page, "making-8-not-now");
    assert.deepEqual(await barriers(page), []);
    await upscale.click({ force: true });
    assert.ok(await upscale.isVisible(), "nothing was chosen");

    await page.keyboard.press("Escape");
    assert.ok(await page.getByRole("radio", { name: "Follow the sketch" }).isDisabled());
  });
});

async function jobsOf(page) {
  return await page.evaluate(async () => (await (await fetch("/api/jobs")).json()).jobs);
}

async function usedToday(page) {
  return await page.evaluate(async () => (await (await fetch("/api/usage")).json()).used_today);
}

async function sketchOf(page, job) {
  return await digest(page, job.sketch_url);
}

async function pixelsOf(page, job) {
  return await digest(page, job.images[0].url);
}

async function digest(page, url) {
  return await page.evaluate(async (address) => {
    const bitmap = await createImageBitmap(await (await fetch(address)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
  }, url);
}
