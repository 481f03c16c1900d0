/** The width of brush or eraser, with a dot that shows it. */
import { WIDTH_RANGE } from "../state/drawing-store";
import { useStudio } from "../studio";

/** The dot fits its frame up to this width; wider ones fill it. */
const DOT_MAX_PX = 30;

/** The slider moves in equal ratios: the way from 2 to 4 is as long as from 20 to 40. */
const NOTCHES = 100;
const RATIO = WIDTH_RANGE.max / WIDTH_RANGE.min;

export function WidthSlider() {
  const { drawing } = useStudio();
  const { width, tool, colour } = drawing.ink.value;
  const dot = Math.min(Math.max(width * drawing.tools.value.viewport.scale, 2), DOT_MAX_PX);
  const words = `${width} ${width === 1 ? "pixel" : "pixels"}`;
  return (
    <div class="width">
      <span class="width-frame" aria-hidden="true">
        <span
          class="width-dot"
          data-tool={tool}
          style={{
            width: `${dot}px`,
            height: `${dot}px`,
            ...(tool === "brush" ? { background: colour } : {}),
          }}
        />
      </span>
      <input
        type="range"
        class="slider"
        data-testid="width"
        aria-label={tool === "brush" ? "Brush width" : "Eraser width"}
        aria-keyshortcuts="[ ]"
        aria-valuetext={words}
        title={`${words}; [ and ] change it`}
        min={0}
        max={NOTCHES}
        value={Math.round((NOTCHES * Math.log(width / WIDTH_RANGE.min)) / Math.log(RATIO))}
        onInput={(event) =>
          drawing.setWidth(WIDTH_RANGE.min * RATIO ** (event.currentTarget.valueAsNumber / NOTCHES))
        }
      />
    </div>
  );
}
