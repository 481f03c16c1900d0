/** The settings' fields: mode, strength, size, quality, seed. */
import { Dices, Lock, LockOpen } from "lucide";
import { useState } from "preact/hooks";
import { type DrawingMode, isOffered, type Model, NOT_NOW } from "../../core/mode";
import { drawSeed, parseSeed, strengthWords } from "../../core/settings";
import { useStudio } from "../studio";
import { IconButton } from "./icon-button";

/** The errors of some of the API's fields, at the field that they belong to. */
export function FieldError({ id, names }: { readonly id: string; readonly names: readonly string[] }) {
  const { generation } = useStudio();
  const messages = names.flatMap((name) => generation.fieldErrors.value[name] ?? []);
  return (
    <p class="field-error" id={id} role="alert" hidden={messages.length === 0}>
      {messages.join(" ")}
    </p>
  );
}

const MODES: readonly { readonly mode: DrawingMode; readonly words: string }[] = [
  { mode: "paint", words: "Paint over" },
  { mode: "follow", words: "Follow the sketch" },
];

/** What becomes of the drawing, where the server knows more than one way. */
export function ModeField() {
  const { generation } = useStudio();
  const { settings, offered, config } = generation;
  const { mode: chosen, model } = settings.value;
  const shown = MODES.filter(({ mode }) => config.modes.includes(mode));
  if (shown.length < 2) return null;
  return (
    <fieldset class="mode" data-testid="mode">
      <legend class="visually-hidden">What becomes of the drawing</legend>
      <div class="segments">
        {shown.map(({ mode, words }) => {
          const absent = !isOffered(offered.value, mode, model);
          return (
            <label key={mode} class="segment" title={absent ? NOT_NOW : undefined}>
              <input
                type="radio"
                class="segment-input"
                name="mode"
                data-testid={`mode-${mode}`}
                checked={mode === chosen}
                disabled={absent && mode !== chosen}
                aria-describedby={chosen === "follow" ? "mode-note mode-error" : "mode-error"}
                onChange={() => generation.change({ mode })}
              />
              <span class="segment-words">{words}</span>
            </label>
          );
        })}
      </div>
      <FieldError id="mode-error" names={["mode"]} />
    </fieldset>
  );
}

/** How much of the drawing stays: a slider for painting over it, a sentence for following it. */
export function StrengthField() {
  const { generation } = useStudio();
  const { mode, model, strength } = generation.settings.value;
  if (mode === "follow") {
    return (
      <p class="mode-note" id="mode-note" data-testid="mode-note">
        {isOffered(generation.offered.value, mode, model)
          ? "Your lines lead. Everything else is painted anew."
          : `${NOT_NOW}. Painting over your drawing works.`}
      </p>
    );
  }
  return (
    <div class="strength">
      <label class="visually-hidden" for="strength">
        Strength
      </label>
      <div class="strength-row">
        <input
          id="strength"
          type="range"
          class="slider"
          data-testid="strength"
          min={0}
          max={100}
          value={Math.round(strength * 100)}
          aria-valuetext={`${Math.round(strength * 100)} percent: ${strengthWords(strength)}`}
          aria-describedby="strength-error"
          title={`${strength.toFixed(2)}: ${strengthWords(strength)}`}
          style={{ "--filled": `${Math.round(strength * 100)}%` }}
          onInput={(event) => generation.change({ strength: event.currentTarget.valueAsNumber / 100 })}
        />
        <span class="strength-end" aria-hidden="true">
          keep my lines
        </span>
        <span class="strength-end" aria-hidden="true">
          surprise me
        </span>
      </div>
      <FieldError id="strength-error" names={["denoise"]} />
    </div>
  );
}

export function SizeField() {
  const { generation } = useStudio();
  const { width, height } = generation.settings.value;
  const { sizes } = generation.config;
  const repeated = (aspect: string): boolean => sizes.filter((size) => size.aspect === aspect).length > 1;
  return (
    <div class="size">
      <label class="visually-hidden" for="size">
        Size
      </label>
      <select
        id="size"
        class="field-box size-select"
        data-testid="size"
        aria-describedby="size-error"
        title={`${width} × ${height} pixels`}
        value={`${width}x${height}`}
        onChange={(event) => {
          const size = sizes[event.currentTarget.selectedIndex];
          if (size !== undefined) generation.change({ width: size.width, height: size.height });
        }}
      >
        {sizes.map((size) => (
          <option key={`${size.width}x${size.height}`} value={`${size.width}x${size.height}`}>
            {repeated(size.aspect) ? `${size.aspect} · ${size.width}` : size.aspect}
          </option>
        ))}
      </select>
      <FieldError id="size-error" names={["width", "height", "steps"]} />
    </div>
  );
}

const MODELS: readonly { readonly model: Model; readonly words: string }[] = [
  { model: "distilled", words: "Quick" },
  { model: "base", words: "Careful" },
];

/** Which model makes it, where the server has more than one. */
export function QualityField() {
  const { generation } = useStudio();
  const { settings, offered, config } = generation;
  const { mode, model: chosen } = settings.value;
  const shown = MODELS.filter(({ model }) => config.models.some(({ id }) => id === model));
  if (shown.length < 2) return null;
  return (
    <div class="quality">
      <label class="visually-hidden" for="quality">
        Quality
      </label>
      <select
        id="quality"
        class="field-box quality-select"
        data-testid="quality"
        aria-describedby="quality-error"
        title="Careful takes longer, and listens to what you do not want"
        value={chosen}
        onChange={(event) => {
          const picked = shown[event.currentTarget.selectedIndex];
          if (picked !== undefined) generation.change({ model: picked.model });
        }}
      >
        {shown.map(({ model, words }) => {
          const absent = !isOffered(offered.value, mode, model);
          return (
            <option key={model} value={model} disabled={absent && model !== chosen}>
              {absent ? `${words} (not now)` : words}
            </option>
          );
        })}
      </select>
      <FieldError id="quality-error" names={["model"]} />
    </div>
  );
}

/** What the image should not show; the quick model would not listen. */
export function NegativePromptField() {
  const { generation } = useStudio();
  const { model, negativePrompt } = generation.settings.value;
  if (model !== "base") return null;
  return (
    <>
      <label class="visually-hidden" for="negative-prompt">
        What should it not show?
      </label>
      <div class="field-box inline-box negative-box">
        <span class="inline-word" aria-hidden="true">
          Without
        </span>
        <input
          id="negative-prompt"
          class="inline-input"
          data-testid="negative-prompt"
          autocomplete="off"
          placeholder="what should it not show?"
          value={negativePrompt}
          maxLength={generation.config.limits.prompt_chars}
          aria-describedby="negative-prompt-error"
          onInput={(event) => generation.change({ negativePrompt: event.currentTarget.value })}
        />
      </div>
      <FieldError id="negative-prompt-error" names={["negative_prompt"]} />
    </>
  );
}

export function SeedField() {
  const { generation } = useStudio();
  const { seed, variation, seedLocked } = generation.settings.value;
  const [typed, setTyped] = useState<string | null>(null);
  const invalid = typed !== null && parseSeed(typed) === null;
  return (
    <div class="seed">
      <label class="visually-hidden" for="seed">
        Seed
      </label>
      <div class="field-box inline-box" aria-invalid={invalid}>
        <span class="inline-word" aria-hidden="true">
          Seed
        </span>
        <input
          id="seed"
          class="inline-input"
          data-testid="seed"
          inputMode="numeric"
          autocomplete="off"
          value={typed ?? String(seed)}
          aria-invalid={invalid}
          aria-describedby="seed-variation seed-error"
          onInput={(event) => {
            const text = event.currentTarget.value;
            const next = parseSeed(text);
            setTyped(text);
            // A seed that somebody typed is meant to be used.
            if (next !== null) generation.change({ seed: next, seedLocked: true });
          }}
          onBlur={() => setTyped(null)}
        />
        {variation > 0 && (
          <span class="seed-variation" id="seed-variation" title={`Image ${variation + 1} of this seed`}>
            <span aria-hidden="true">· {variation + 1}</span>
            <span class="visually-hidden">Image {variation + 1} of this seed</span>
          </span>
        )}
        <IconButton
          node={seedLocked ? Lock : LockOpen}
          label={seedLocked ? "Seed locked: every image uses it" : "Seed open: every image gets a new one"}
          testId="seed-lock"
          pressed={seedLocked}
          onPress={() => generation.change({ seedLocked: !seedLocked })}
        />
        <IconButton
          node={Dices}
          label="Draw a new seed"
          testId="seed-dice"
          onPress={() => generation.change({ seed: drawSeed(Math.random()) })}
        />
      </div>
      <FieldError id="seed-error" names={["seed", "variation"]} />
    </div>
  );
}
