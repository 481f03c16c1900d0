/** The script of the server's pages. Everything works without it, with less comfort. */
import "../styles/tokens.css";
import "../styles/base.css";
import "./site.css";
import "./assets/demo-image.webp";
import "./assets/demo-sketch.webp";
import "./assets/mark.svg";
import { addPasswordSwitch, focusFirstMistake, startCopyButton } from "./forms";
import { startThemeSwitch, themeRead, themeShow } from "./theme";

themeShow(themeRead());
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();

function start(): void {
  for (const field of document.querySelectorAll<HTMLFieldSetElement>("[data-theme-switch]"))
    startThemeSwitch(field);
  for (const field of document.querySelectorAll<HTMLElement>("[data-password]")) addPasswordSwitch(field);
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-copy]")) startCopyButton(button);
  for (const figure of document.querySelectorAll<HTMLElement>("[data-demo]")) {
    void import("./demo/demo").then(({ startDemo }) => startDemo(figure));
  }
  focusFirstMistake();
}
