// After a refused form the page stands at the address the form was sent to. This gives it back its
// own, so that loading it again shows the form and sends nothing.

history.replaceState(null, "", document.getElementById("main").dataset.address);
