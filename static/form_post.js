// Sends the answer of response_mode=form_post as soon as the page is there. Without scripts, its button does.
"use strict";
(() => {
  const form = document.getElementById("form-post");
  const [visit] = performance.getEntriesByType("navigation");
  // Coming back to this page must not spend the same answer twice: a code that is used again ends what it began.
  if (!form || (visit && visit.type === "back_forward")) return;
  // Called through the prototype because an input named "submit" would hide the method.
  HTMLFormElement.prototype.submit.call(form);
})();
