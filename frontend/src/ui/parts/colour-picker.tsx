/** The colour: a palette of paints, and any other. */
import { Pipette } from "lucide";
import { useStudio } from "../studio";
import { Icon } from "./icon";

/** Paints that mix well on white paper, dark to light, warm to cold. */
const PALETTE = [
  { name: "Ink", value: "#2b2a28" },
  { name: "Stone", value: "#8a867d" },
  { name: "Paper", value: "#ffffff" },
  { name: "Brick", value: "#b3402c" },
  { name: "Orange", value: "#e58a2e" },
  { name: "Sun", value: "#f3c93f" },
  { name: "Umber", value: "#7a5230" },
  { name: "Moss", value: "#5c7f3a" },
  { name: "Leaf", value: "#9cc069" },
  { name: "Sea", value: "#2f6f8f" },
  { name: "Sky", value: "#8cc3de" },
  { name: "Plum", value: "#7c4a7e" },
  { name: "Rose", value: "#e7a0a8" },
  { name: "Sand", value: "#e8d3ae" },
] as const;

export function ColourPicker() {
  const { drawing } = useStudio();
  const current = drawing.colour.value;
  const custom = !PALETTE.some((paint) => paint.value === current);
  return (
    <fieldset class="palette">
      <legend class="visually-hidden">Colour</legend>
      {PALETTE.map((paint) => (
        <button
          key={paint.value}
          type="button"
          class="swatch"
          aria-label={paint.name}
          title={paint.name}
          aria-pressed={paint.value === current}
          style={{ background: paint.value }}
          onClick={() => drawing.setColour(paint.value)}
        />
      ))}
      <label
        class="swatch swatch-custom"
        title="Another colour"
        data-chosen={custom}
        style={custom ? { background: current } : {}}
      >
        <Icon node={Pipette} size={14} />
        <input
          type="color"
          class="swatch-input"
          aria-label="Another colour"
          value={current}
          onInput={(event) => drawing.setColour(event.currentTarget.value)}
        />
      </label>
    </fieldset>
  );
}
