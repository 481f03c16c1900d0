/** The preset sketches: something to begin with. */
import boat from "../../../../generation/presets/boat.json";
import cat from "../../../../generation/presets/cat.json";
import house from "../../../../generation/presets/house.json";
import mountains from "../../../../generation/presets/mountains.json";
import type { Stroke } from "../../core/document";
import { strokeOutline, traceOutline } from "../../core/outline";
import { type Preset, presetStrokes } from "../../core/sketch-json";
import { useStudio } from "../studio";

const PRESETS: readonly Preset[] = [house, cat, boat, mountains];

export function PresetPicker({ onPicked }: { readonly onPicked?: () => void }) {
  const { drawing, generation } = useStudio();
  function pick(preset: Preset): void {
    drawing.load(preset);
    if (generation.settings.peek().prompt.trim() === "") generation.change({ prompt: preset.prompt });
    onPicked?.();
  }
  return (
    <div class="presets">
      {PRESETS.map((preset) => (
        <button
          key={preset.id}
          type="button"
          class="preset"
          data-testid={`preset-${preset.id}`}
          onClick={() => pick(preset)}
        >
          <Thumbnail preset={preset} />
          <span>{preset.name}</span>
        </button>
      ))}
    </div>
  );
}

function Thumbnail({ preset }: { readonly preset: Preset }) {
  return (
    <svg class="preset-picture" viewBox={`0 0 ${preset.width} ${preset.height}`} aria-hidden="true">
      {presetStrokes(preset, () => "").map((stroke, index) => (
        // A little heavier than on the paper, to be read at this size.
        <path key={index} d={pathOf({ ...stroke, width: stroke.width * 1.5 })} fill={stroke.colour} />
      ))}
    </svg>
  );
}

function pathOf(stroke: Stroke): string {
  const parts: string[] = [];
  const whole = (value: number): number => Math.round(value);
  traceOutline(strokeOutline(stroke), {
    moveTo: (x, y) => parts.push(`M${whole(x)} ${whole(y)}`),
    quadraticCurveTo: (cx, cy, x, y) => parts.push(`Q${whole(cx)} ${whole(cy)} ${whole(x)} ${whole(y)}`),
    closePath: () => parts.push("Z"),
  });
  return parts.join("");
}
