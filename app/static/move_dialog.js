// The dialog of /lessons in which a lesson is moved. Its content is the page of the link.

import { readPage } from "./refresh.js";
import { Mover } from "./move.js";

const dialog = document.getElementById("move");
const content = document.getElementById("move-content");
const announcements = document.getElementById("announcements");

// Opens the dialog. Resolves to {moved} or {ended}, a booking, when it closes; to {} if the viewer
// closed it.
export async function openDialog(address, live) {
  const page = await readPage(address);
  const root = document.adoptNode(page.getElementById("mover"));
  content.replaceChildren(root);
  dialog.showModal();
  // Outside the dialog, nothing is announced while it is open.
  dialog.append(announcements);
  const mover = root.querySelector("#page-data") && new Mover(root, live);
  const result = {};
  for (const name of ["moved", "ended"]) {
    mover?.addEventListener(name, ({ detail }) => {
      result[name] = detail;
      dialog.close();
    });
  }
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  mover?.close();
  document.body.append(announcements);
  content.replaceChildren();
  return result;
}
