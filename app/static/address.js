// A refused form is rendered at the address that it was sent to. This restores the address of the
// form's page, so that a reload shows the form and sends nothing.

history.replaceState(null, "", document.getElementById("main").dataset.address);
