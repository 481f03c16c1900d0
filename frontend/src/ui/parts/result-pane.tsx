/** The result: the image, how far it is, and what went wrong with it. */
import { ChevronLeft, Download, ImageUpscale, LayoutGrid, PencilLine, SlidersHorizontal } from "lucide";
import { useState } from "preact/hooks";
import { tilesOf } from "../../core/batch";
import { enlargedText } from "../../core/enlarging";
import { indicatorFraction, indicatorText } from "../../core/indicator";
import { isTerminal, type Job } from "../../core/job";
import { isEnlarging } from "../../core/mode";
import { MODIFIER } from "../keyboard";
import { useStudio } from "../studio";
import { BatchGrid } from "./batch-grid";
import { EnlargeChoices } from "./enlarge-choices";
import { FailureCard } from "./failure-card";
import { Icon } from "./icon";
import { IconButton } from "./icon-button";
import { Menu } from "./menu";
import { type Picture, PictureStage } from "./picture-stage";
import { VariationChoices } from "./variation-choices";

export function ResultPane() {
  const { generation, compact } = useStudio();
  const job = generation.job.value;
  const indicator = generation.indicator.value;
  const [sketchJob, setSketchJob] = useState<string | null>(null);
  const showSketch = job !== null && sketchJob === job.id;
  const failed = indicator.type === "failed";
  const batch = generation.batch.value;
  const siblings = batch === null ? 0 : tilesOf(batch).length;
  const grid = generation.batchShown.value;
  return (
    <section class="pane result-pane" aria-label="Image" data-state={indicator.type}>
      {grid === null ? (
        <PictureStage picture={pictureOf(job)} keep={job !== null && !isTerminal(job)} />
      ) : (
        <BatchGrid batch={grid} />
      )}
      {showSketch && grid === null && (
        <img
          class="pane-layer stage-picture result-sketch"
          src={job.sketch_url}
          alt={`The ${isEnlarging(job.params.mode) ? "image" : "sketch"} that it was made from`}
        />
      )}
      {job === null && indicator.type !== "sending" && !failed && (
        <div class="blank result-blank">
          <p class="blank-title">The image appears here</p>
          <p class="blank-text">
            {compact.value ? "Draw, say what it should become, and generate" : <GenerateHint />}
          </p>
        </div>
      )}
      {failed && <FailureCard failure={indicator.failure} />}
      {grid === null && siblings > 1 && (
        <button
          type="button"
          class="chip back-chip"
          data-testid="show-batch"
          onClick={() => generation.showBatch()}
        >
          <Icon node={ChevronLeft} size={16} />
          All {siblings}
        </button>
      )}
      {grid !== null && grid.active > 0 && (
        <button
          type="button"
          class="button-quiet stop"
          data-size="small"
          data-testid="stop-batch"
          aria-keyshortcuts="Escape"
          title="Stop the rest (Esc)"
          onClick={() => void generation.stopBatch()}
        >
          Stop the rest
        </button>
      )}
      {grid === null && job?.state === "succeeded" && !failed && (
        <ResultActions
          job={job}
          showSketch={showSketch}
          onSketch={() => setSketchJob(showSketch ? null : job.id)}
        />
      )}
      {grid === null && job?.state === "succeeded" && !failed && <EnlargedNote job={job} />}
      <Progress />
    </section>
  );
}

function GenerateHint() {
  return (
    <>
      Draw, say what it should become, and press <kbd>{MODIFIER}</kbd> <kbd>Enter</kbd>
    </>
  );
}

function pictureOf(job: Job | null): Picture | null {
  if (job === null) return null;
  const image = job.images[0];
  const about = job.params.prompt === "" ? "without a prompt" : `“${job.params.prompt}”`;
  if (job.state === "succeeded" && image !== undefined) {
    return { url: image.url, kind: "result", alt: `Image: ${about}` };
  }
  if (!isTerminal(job) && job.preview_url !== null) {
    return { url: job.preview_url, kind: "preview", alt: `Preview: ${about}` };
  }
  return null;
}

function EnlargedNote({ job }: { readonly job: Job }) {
  const image = job.images[0];
  const text = image === undefined ? null : enlargedText(job.params.mode, image);
  return text === null ? null : (
    <p class="chip enlarged-note" data-testid="enlarged-note">
      {text}
    </p>
  );
}

function Progress() {
  const { generation } = useStudio();
  const indicator = generation.indicator.value;
  const text = indicator.type === "failed" ? "" : indicatorText(indicator);
  const fraction = indicatorFraction(indicator);
  const busy = generation.busy.value || (indicator.type === "batch" && indicator.batch.active > 0);
  return (
    <>
      <p
        class="chip progress-chip"
        role="status"
        data-testid="progress-text"
        data-state={indicator.type}
        hidden={text === ""}
      >
        {text}
      </p>
      {busy && (
        <div
          class="progress-bar"
          role="progressbar"
          aria-label={indicator.type === "batch" ? "Images ready" : "Image under way"}
          data-testid="progress-bar"
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={fraction === null ? undefined : Math.round(fraction * 100)}
          data-unmeasured={fraction === null}
        >
          <span class="progress-fill" style={{ transform: `scaleX(${fraction ?? 0.3})` }} />
        </div>
      )}
    </>
  );
}

type ResultActionsProps = { readonly job: Job; readonly showSketch: boolean; readonly onSketch: () => void };

function ResultActions({ job, showSketch, onSketch }: ResultActionsProps) {
  const { generation } = useStudio();
  const image = job.images[0];
  if (image === undefined) return null;
  const enlarged = isEnlarging(job.params.mode);
  const source = enlarged ? "image" : "sketch";
  return (
    <div class="result-actions">
      <Menu label="Variations" side="over" testId="variations" button={<Icon node={LayoutGrid} />}>
        {(close) => <VariationChoices job={job} onChosen={close} />}
      </Menu>
      <Menu label="HD and upscale" side="over" testId="enlarge" button={<Icon node={ImageUpscale} />}>
        {(close) => <EnlargeChoices job={job} onChosen={close} />}
      </Menu>
      <IconButton
        node={PencilLine}
        label={showSketch ? "Show the image" : `Show the ${source} it was made from`}
        testId="show-sketch"
        pressed={showSketch}
        onPress={onSketch}
      />
      {!enlarged && (
        <IconButton
          node={SlidersHorizontal}
          label="Use these settings"
          testId="use-settings"
          onPress={() => generation.useSettings(job)}
        />
      )}
      <a
        class="icon-button"
        href={image.url}
        download={fileName(job)}
        aria-label="Download the image"
        title="Download the image"
        data-testid="download"
      >
        <Icon node={Download} />
      </a>
    </div>
  );
}

/** Name the file after the prompt's first words. The browser adds the ending of what the server sends. */
function fileName(job: Job): string {
  const words = job.params.prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["llamasketch"];
  return `${words.slice(0, 6).join("-")}-${job.seed}`;
}
