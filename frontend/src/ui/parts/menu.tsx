/** A menu: a button with a small sheet, closed by Escape, by a press elsewhere and by leaving it. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

type MenuProps = {
  readonly label: string;
  readonly button: ComponentChildren;
  readonly children: (close: () => void) => ComponentChildren;
  readonly testId?: string;
  readonly class?: string;
  /** Where the sheet opens, seen from the button. */
  readonly side: "below" | "beside" | "above" | "over";
};

export function Menu({ label, button, children, testId, class: extra = "icon-button", side }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const sheetId = useId();

  useEffect(() => {
    if (!open) return;
    const abort = new AbortController();
    const { signal } = abort;
    const outside = (event: Event): void => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside, { signal, capture: true });
    document.addEventListener("focusin", outside, { signal });
    document.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        setOpen(false);
        trigger.current?.focus();
      },
      { signal },
    );
    return () => abort.abort();
  }, [open]);

  function close(): void {
    setOpen(false);
    trigger.current?.focus();
  }

  return (
    <div class="menu" ref={root} data-menu-open={open ? "" : undefined}>
      <button
        type="button"
        class={extra}
        ref={trigger}
        aria-label={label}
        title={label}
        aria-expanded={open}
        aria-controls={sheetId}
        data-testid={testId}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div class="menu-sheet" id={sheetId} data-side={side}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
