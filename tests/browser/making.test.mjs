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

    await page.getByTestId("generate").click();
    await page.getByTestId("result-image").waitFor();

    const job = await newestJob(page);
    assert.deepEqual([job.state, job.params.mode], ["succeeded", "follow"]);
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
});
