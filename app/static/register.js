// /register: sends a student's time zone, in which pages show hints. Instructors teach in New York,
// the default.

const field = document.getElementById("time-zone");
const form = field.form;
field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
form.addEventListener("change", setZone);
setZone();

function setZone() {
  field.disabled = form.elements.role.value === "instructor" || !field.value.includes("/");
}
