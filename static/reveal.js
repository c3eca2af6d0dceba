// A button that shows the password while it is typed. Without scripts the button stays hidden.
"use strict";
for (const button of document.querySelectorAll("button[data-reveal]")) {
  const input = document.getElementById(button.dataset.reveal);
  if (!input) continue;
  const shown = button.firstChild.data;
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.firstChild.data = visible ? button.dataset.hide || "Hide" : shown;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  // Browsers keep what was typed into a text input; a password must leave as a password.
  input.form.addEventListener("submit", () => show(false));
}
