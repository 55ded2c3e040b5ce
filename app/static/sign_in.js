// /login and /reset-password: carries the typed e-mail address from one to the other. It must not
// be in a page's address, which logs and the history keep.

const STORED = "e-mail of the sign-in";

const field = document.getElementById("email");
const forgot = document.getElementById("forgot");
if (forgot) {
  forgot.addEventListener("click", () => sessionStorage.setItem(STORED, field.value));
} else {
  if (field && !field.value) field.value = sessionStorage.getItem(STORED) ?? "";
  sessionStorage.removeItem(STORED);
}
