/** Small comforts in forms: show a password, copy a token, begin at the first mistake. */

/** Add a button that shows and hides the password of this field. */
export function addPasswordSwitch(field: HTMLElement): void {
  const input = field.querySelector<HTMLInputElement>("input[type=password]");
  const name = field.querySelector("label")?.textContent?.trim();
  if (!input) return;
  const line = document.createElement("div");
  line.className = "password-line";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "password-switch";
  button.setAttribute("aria-controls", input.id);
  const show = (isShown: boolean): void => {
    input.type = isShown ? "text" : "password";
    button.textContent = isShown ? "Hide" : "Show";
    button.setAttribute("aria-label", `${isShown ? "Hide" : "Show"} ${name ?? "password"}`);
  };
  button.addEventListener("click", () => show(input.type === "password"));
  // A password sent as text would be remembered as an ordinary word by some browsers.
  input.form?.addEventListener("submit", () => show(false));
  show(false);
  input.replaceWith(line);
  line.append(input, button);
}

/** Let the button copy the text of the element that `data-copy` names. */
export function startCopyButton(button: HTMLButtonElement): void {
  const source = document.getElementById(button.dataset.copy ?? "");
  if (!source || !navigator.clipboard) return;
  const label = button.textContent;
  button.setAttribute("aria-live", "polite");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent?.trim() ?? "");
      button.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(source);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  });
}

export function focusFirstMistake(): void {
  document.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
}
