import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: "/static/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    // Inlined data: URLs would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    // Both entries are loaded by Django, which sends no preload hints for the polyfill to use.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { studio: here("./src/main.ts"), site: here("./src/site/site.ts") },
    },
  },
  server: {
    port: 5173,
    strictPort: true,
    cors: true,
    // The preset sketches live beside the Python code that also renders them.
    fs: { allow: [here("."), here("../generation/presets")] },
  },
  test: {
    include: ["src/**/*.test.ts", "src/**/*.test.tsx"],
    environment: "node",
    restoreMocks: true,
  },
});
