/** An example of the server's configuration, for tests. */
import type { Config } from "./settings";

export const EXAMPLE_CONFIG: Config = {
  version: "0.1.0",
  signup_enabled: true,
  modes: ["paint", "follow", "hd", "upscale"],
  models: [
    { id: "distilled", steps: 4 },
    { id: "base", steps: 20 },
  ],
  workflows: ["follow", "hd", "paint", "paint-base", "upscale"],
  sizes: [
    { aspect: "1:1", width: 512, height: 512 },
    { aspect: "16:9", width: 688, height: 384 },
  ],
  limits: {
    prompt_chars: 2000,
    sketch_bytes: 8388608,
    sketch_pixels: 16777216,
    count: { min: 1, max: 128 },
    steps: { min: 1, max: 50 },
    daily: 100,
  },
  defaults: { mode: "paint", denoise: 0.75, steps: 4, width: 512, height: 512 },
  presets: [],
  gpu: "simulated",
};
