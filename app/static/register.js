// /register: sends the browser's time zone, in which pages show hints.

const field = document.getElementById("time-zone");
field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
field.disabled = !field.value.includes("/");
