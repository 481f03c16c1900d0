/** A button that shows only an icon and says its name to those who hover or listen. */
import { Icon, type IconNode } from "./icon";

type IconButtonProps = {
  readonly node: IconNode;
  readonly label: string;
  readonly onPress: () => void;
  readonly testId?: string;
  /** For a button that stays down. */
  readonly pressed?: boolean;
  readonly disabled?: boolean;
  readonly shortcut?: string;
};

export function IconButton({
  node,
  label,
  onPress,
  testId,
  pressed,
  disabled = false,
  shortcut,
}: IconButtonProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      aria-keyshortcuts={shortcut}
      title={shortcut === undefined ? label : `${label} (${shortcut.replaceAll("+", " ")})`}
      aria-pressed={pressed}
      // Not `disabled`: a button that vanishes from the tab order under one's finger loses the focus.
      aria-disabled={disabled}
      data-testid={testId}
      onClick={() => {
        if (!disabled) onPress();
      }}
    >
      <Icon node={node} />
    </button>
  );
}
