/** The composer: what the drawing should become, and the button that makes it so. */
import { Sparkles, X } from "lucide";
import { useEffect, useState } from "preact/hooks";
import { useStudio } from "../studio";
import {
  FieldError,
  ModeField,
  NegativePromptField,
  QualityField,
  SeedField,
  SizeField,
  StrengthField,
} from "./fields";
import { Icon } from "./icon";

/** Examples in the empty prompt, one for every day of the week. */
const EXAMPLES = [
  "a stone cottage at dusk, warm windows, oil painting",
  "a paper-cut landscape with deep shadows",
  "a ceramic cat on a windowsill, studio photograph",
  "a harbour in the morning fog, watercolour",
  "an isometric toy village, soft light",
  "a botanical plate, fine ink lines, pale washes",
  "a night train in the mountains, film still",
] as const;

export function Composer() {
  const { generation } = useStudio();
  const { config } = generation;
  const { prompt } = generation.settings.value;
  const left = config.limits.prompt_chars - prompt.length;
  const [example, setExample] = useState<string>(EXAMPLES[0]);
  useEffect(() => setExample(EXAMPLES[new Date().getDay()] ?? EXAMPLES[0]), []);
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void generation.generate();
      }}
    >
      <div class="prompt">
        <label class="visually-hidden" for="prompt">
          What should it become?
        </label>
        <textarea
          id="prompt"
          class="prompt-input"
          data-testid="prompt"
          rows={3}
          placeholder={`What should it become? For example: ${example}`}
          value={prompt}
          maxLength={config.limits.prompt_chars}
          aria-invalid={"prompt" in generation.fieldErrors.value}
          aria-describedby="prompt-error"
          onInput={(event) => generation.change({ prompt: event.currentTarget.value })}
        />
        {left < 200 && <span class="prompt-left">{left} left</span>}
        <FieldError id="prompt-error" names={["prompt", "sketch", "count", "lane"]} />
        <NegativePromptField />
      </div>
      <div class="settings">
        <div class="way">
          <ModeField />
          <StrengthField />
        </div>
        <SizeField />
        <QualityField />
        <SeedField />
        <GenerateButton />
      </div>
    </form>
  );
}

function GenerateButton() {
  const { generation } = useStudio();
  const { indicator } = generation;
  if (!generation.busy.value) {
    return (
      <button
        type="submit"
        class="button generate"
        data-testid="generate"
        aria-keyshortcuts="Control+Enter"
        title="Generate (Ctrl Enter)"
      >
        <Icon node={Sparkles} />
        Generate
      </button>
    );
  }
  const stopping = indicator.value.type === "cancelling" || indicator.value.type === "saving";
  return (
    <button
      type="button"
      class="button-quiet generate"
      data-testid="cancel"
      aria-keyshortcuts="Escape"
      aria-disabled={stopping}
      title="Cancel (Esc)"
      onClick={() => {
        if (!stopping) void generation.cancel();
      }}
    >
      <Icon node={X} />
      {indicator.value.type === "cancelling" ? "Cancelling" : "Cancel"}
    </button>
  );
}
