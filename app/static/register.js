// /register: sends the browser's time zone, so that times can also be shown in the user's own zone.

const field = document.getElementById("time-zone");
field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
field.disabled = !field.value.includes("/");
