// Passkeys: a form with `data-passkey` asks the browser to make one ("new") or to use one ("known"), and takes its answer along. Without
// scripts, or in a browser that knows no passkeys, the form stays hidden and `data-passkey-missing` says why.
"use strict";
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  // Browsers of before 2025 do not read and write JSON themselves.
  const toMake = (options) =>
    PublicKeyCredential.parseCreationOptionsFromJSON
      ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
      : {
          ...options,
          challenge: bytes(options.challenge),
          user: { ...options.user, id: bytes(options.user.id) },
          excludeCredentials: named(options.excludeCredentials),
        };
  const toUse = (options) =>
    PublicKeyCredential.parseRequestOptionsFromJSON
      ? PublicKeyCredential.parseRequestOptionsFromJSON(options)
      : { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) };

  const written = (credential) => {
    const from = credential.response;
    const response = { clientDataJSON: text(from.clientDataJSON) };
    if (from.attestationObject) {
      response.attestationObject = text(from.attestationObject);
      response.transports = from.getTransports ? from.getTransports() : [];
    } else {
      response.authenticatorData = text(from.authenticatorData);
      response.signature = text(from.signature);
      response.userHandle = from.userHandle ? text(from.userHandle) : null;
    }
    const { id, type } = credential;
    return { id, rawId: text(credential.rawId), type, response, clientExtensionResults: {} };
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("button[type=submit]");
    const problem = form.querySelector("[data-passkey-problem]");
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      problem.hidden = true;
      try {
        const options = JSON.parse(form.dataset.options);
        const credential =
          form.dataset.passkey === "new"
            ? await navigator.credentials.create({ publicKey: toMake(options) })
            : await navigator.credentials.get({ publicKey: toUse(options) });
        form.querySelector("[data-passkey-answer]").value = JSON.stringify(written(credential));
        // Called through the prototype: an input may hide the method, and `submit` would come here again.
        HTMLFormElement.prototype.submit.call(form);
      } catch (error) {
        const why = { InvalidStateError: "known", NotAllowedError: "refused", AbortError: "refused" }[error.name];
        problem.firstElementChild.textContent = problem.dataset[why || "failed"];
        problem.hidden = false;
        button.disabled = false;
      }
    });
    // Coming back to this page finds it as it was left.
    window.addEventListener("pageshow", () => {
      button.disabled = false;
    });
  }
  for (const told of document.querySelectorAll("[data-passkey-missing]")) told.hidden = true;
})();
