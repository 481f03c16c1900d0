/** An image's menu: what to make of it, opened where it was asked for. */
import { useEffect, useRef } from "preact/hooks";
import type { Job } from "../../core/job";
import { EnlargeChoices } from "./enlarge-choices";
import { VariationChoices } from "./variation-choices";

type ImageMenuProps = {
  readonly job: Job;
  /** Client pixels. */
  readonly at: { readonly x: number; readonly y: number };
  readonly name: string;
  readonly onClose: () => void;
};

export function ImageMenu({ job, at, name, onClose }: ImageMenuProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    if (element === null) return;
    element.showModal();
    // Where it would reach beyond the page it moves in.
    const { width, height } = element.getBoundingClientRect();
    element.style.left = `${Math.max(Math.min(at.x, innerWidth - width - EDGE_PX), EDGE_PX)}px`;
    element.style.top = `${Math.max(Math.min(at.y, innerHeight - height - EDGE_PX), EDGE_PX)}px`;
    // A press beside the sheet meets the dialog itself: its box is its backdrop's.
    const beside = (event: MouseEvent): void => {
      if (event.target === element) element.close();
    };
    element.addEventListener("click", beside);
    return () => element.removeEventListener("click", beside);
  }, [at]);
  const close = (): void => dialog.current?.close();
  return (
    <dialog class="image-menu" ref={dialog} aria-label={name} data-testid="image-menu" onClose={onClose}>
      <div class="image-menu-body">
        <VariationChoices job={job} onChosen={close} />
        <hr />
        <EnlargeChoices job={job} onChosen={close} />
      </div>
    </dialog>
  );
}

const EDGE_PX = 8;
