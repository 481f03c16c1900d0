/** The toolbox: beside the drawing on a wide screen, at the thumb on a phone. */
import { Brush, Eraser, Images, Redo2, Trash2, Undo2 } from "lucide";
import { useStudio } from "../studio";
import { ColourPicker } from "./colour-picker";
import { Icon } from "./icon";
import { IconButton } from "./icon-button";
import { Menu } from "./menu";
import { PresetPicker } from "./presets";
import { WidthSlider } from "./width-slider";

export function Toolbox() {
  const { drawing, compact, run } = useStudio();
  const empty = drawing.document.value.strokes.length === 0;
  return (
    <div
      class="toolbox"
      role="toolbar"
      aria-label="Drawing tools"
      aria-orientation={compact.value ? "horizontal" : "vertical"}
    >
      <div class="toolbox-group">
        <IconButton
          node={Brush}
          label="Brush"
          shortcut="B"
          testId="brush"
          pressed={drawing.tool.value === "brush"}
          onPress={() => run("brush")}
        />
        <IconButton
          node={Eraser}
          label="Eraser"
          shortcut="E"
          testId="eraser"
          pressed={drawing.tool.value === "eraser"}
          onPress={() => run("eraser")}
        />
      </div>
      {compact.value ? (
        <Menu
          label="Colour and width"
          side="above"
          testId="ink"
          button={<span class="swatch" style={{ background: drawing.colour.value }} />}
        >
          {() => (
            <div class="ink-sheet">
              <ColourPicker />
              <WidthSlider />
            </div>
          )}
        </Menu>
      ) : (
        <>
          <ColourPicker />
          <WidthSlider />
        </>
      )}
      <div class="toolbox-group toolbox-steps">
        <IconButton
          node={Undo2}
          label="Undo"
          shortcut="Ctrl+Z"
          testId="undo"
          disabled={!drawing.canUndo.value}
          onPress={() => run("undo")}
        />
        <IconButton
          node={Redo2}
          label="Redo"
          shortcut="Ctrl+Shift+Z"
          testId="redo"
          disabled={!drawing.canRedo.value}
          onPress={() => run("redo")}
        />
        <IconButton
          node={Trash2}
          label="Clear the drawing"
          testId="clear"
          disabled={empty}
          onPress={() => drawing.clear()}
        />
        <Menu
          label="Begin with a sketch"
          side={compact.value ? "above" : "beside"}
          testId="presets"
          button={<Icon node={Images} />}
        >
          {(close) => <PresetPicker onPicked={close} />}
        </Menu>
      </div>
    </div>
  );
}
