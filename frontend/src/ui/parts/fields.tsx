/** The settings' fields: strength, size, seed. */
import { Dices, Lock, LockOpen } from "lucide";
import { useState } from "preact/hooks";
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

export function StrengthField() {
  const { generation } = useStudio();
  const { strength } = generation.settings.value;
  return (
    <div class="strength">
      <label class="strength-label" for="strength">
        Strength
      </label>
      <div class="strength-row">
        <span class="strength-end" aria-hidden="true">
          keep my lines
        </span>
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

export function SeedField() {
  const { generation } = useStudio();
  const { seed, seedLocked } = generation.settings.value;
  const [typed, setTyped] = useState<string | null>(null);
  const invalid = typed !== null && parseSeed(typed) === null;
  return (
    <div class="seed">
      <label class="visually-hidden" for="seed">
        Seed
      </label>
      <div class="field-box seed-box" aria-invalid={invalid}>
        <span class="seed-word" aria-hidden="true">
          Seed
        </span>
        <input
          id="seed"
          class="seed-input"
          data-testid="seed"
          inputMode="numeric"
          autocomplete="off"
          value={typed ?? String(seed)}
          aria-invalid={invalid}
          aria-describedby="seed-error"
          onInput={(event) => {
            const text = event.currentTarget.value;
            const next = parseSeed(text);
            setTyped(text);
            // A seed that somebody typed is meant to be used.
            if (next !== null) generation.change({ seed: next, seedLocked: true });
          }}
          onBlur={() => setTyped(null)}
        />
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
      <FieldError id="seed-error" names={["seed"]} />
    </div>
  );
}
