// /register: tells by which clock the person lives, so that times can be shown in their own hours too.

const field = document.getElementById("time-zone");
field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
field.disabled = !field.value.includes("/");
