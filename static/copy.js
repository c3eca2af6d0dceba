// A button that copies what stands in an input. Without scripts the button stays hidden, and people select the text themselves.
"use strict";
for (const button of document.querySelectorAll("button[data-copy]")) {
  const input = document.getElementById(button.dataset.copy);
  if (!input) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
    } catch {
      document.execCommand("copy");
    }
    button.firstChild.data = button.dataset.done;
  });
}
