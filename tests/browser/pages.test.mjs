/** The pages around the studio, and the studio on a phone and in the dark. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { barriers, open, PHONE, shot, signUp, stroke, strokeCount, URLS } from "./studio.mjs";

const PAGES = {
  landing: "/",
  login: "/accounts/login/",
  signup: "/accounts/signup/",
  "password-reset": "/accounts/password/reset/",
};

for (const scheme of ["light", "dark"]) {
  describe(`in the ${scheme}`, () => {
    for (const [name, path] of Object.entries(PAGES)) {
      it(`${name} keeps nobody out`, async () => {
        await withPage({ scheme }, async (page) => {
          const answer = await page.goto(URLS.studio + path);
          assert.equal(answer.status(), 200);
          await shot(page, `page-${name}-${scheme}`);
          assert.deepEqual(await barriers(page), []);
        });
      });
    }

    it("the studio keeps nobody out", async () => {
      await withPage({ scheme }, async (page) => {
        await signUp(page);
        await shot(page, `page-studio-${scheme}`);
        assert.deepEqual(await barriers(page), []);
      });
    });
  });
}

describe("the gate", () => {
  it("sends a stranger from the studio to the sign-in page and back", async () => {
    await withPage({}, async (page) => {
      await page.goto(`${URLS.studio}/app`);
      assert.match(page.url(), /\/accounts\/login\/\?next=\/app/);
    });
  });

  it("says that sign-up is closed where it is", async () => {
    await withPage({ expects: /403.*signup/ }, async (page) => {
      await page.goto(`${URLS.closed}/accounts/signup/`);
      await page.getByRole("heading", { name: "Sign-up is closed" }).waitFor();
      assert.equal(await page.locator("input[name=password1]").count(), 0);
      await shot(page, "page-signup-closed");
      await page.goto(`${URLS.closed}/`);
      assert.equal(await page.getByRole("link", { name: /create an account|sign up/i }).count(), 0);
    });
  });
});

describe("a phone", () => {
  for (const [name, path] of Object.entries(PAGES)) {
    it(`${name} fits`, async () => {
      await withPage({ viewport: PHONE, touch: true }, async (page) => {
        await page.goto(URLS.studio + path);
        await shot(page, `phone-${name}`);
        assert.equal(await overflow(page), 0, "nothing to scroll to at the side");
      });
    });
  }

  it("the studio draws and generates", async () => {
    await withPage({ viewport: PHONE, touch: true }, async (page) => {
      await signUp(page);
      await shot(page, "phone-studio-1-empty");
      assert.equal(await overflow(page), 0, "nothing to scroll to at the side");
      await stroke(page, [
        [0.3, 0.3],
        [0.7, 0.4],
        [0.4, 0.7],
      ]);
      assert.equal(await strokeCount(page), 1);
      await page.getByTestId("generate").click();
      await page.getByTestId("result-image").waitFor();
      await page.getByTestId("generate").waitFor();
      await shot(page, "phone-studio-2-result");
    });
  });
});

async function withPage({ expects, ...options }, use) {
  const person = await open(options);
  try {
    await use(person.page);
    const complaints = person.complaints.filter((text) => !expects?.test(text));
    assert.deepEqual(complaints, [], "the page complains about nothing");
  } finally {
    await person.close();
  }
}

async function overflow(page) {
  return await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}
