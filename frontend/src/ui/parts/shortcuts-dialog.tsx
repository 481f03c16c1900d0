/** The list of keyboard shortcuts. */
import { X } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import { SHORTCUTS } from "../keyboard";
import { useStudio } from "../studio";
import { IconButton } from "./icon-button";

export function ShortcutsDialog() {
  const { shortcutsOpen } = useStudio();
  const dialog = useRef<HTMLDialogElement>(null);
  const open = shortcutsOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  useEffect(() => {
    // A press beside the sheet meets the dialog itself: its box is its backdrop's.
    const beside = (event: MouseEvent): void => {
      if (event.target === dialog.current) dialog.current?.close();
    };
    const element = dialog.current;
    element?.addEventListener("click", beside);
    return () => element?.removeEventListener("click", beside);
  }, []);
  const close = (): void => {
    shortcutsOpen.value = false;
  };
  return (
    <dialog
      class="dialog"
      ref={dialog}
      aria-labelledby="shortcuts-title"
      data-testid="shortcuts-dialog"
      onClose={close}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id="shortcuts-title">Keyboard shortcuts</h2>
          <IconButton node={X} label="Close" onPress={close} />
        </div>
        <dl class="shortcuts">
          {SHORTCUTS.map(({ keys, words }) => (
            <div key={words} class="shortcut">
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  );
}
