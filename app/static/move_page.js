// /lessons/{id}/move, opened as a page of its own.

import { Live } from "./live.js";
import { Mover } from "./move.js";
import { follow } from "./status.js";

const live = new Live();
const mover = new Mover(document.getElementById("mover"), live);
mover.addEventListener("moved", ({ detail: { id } }) => location.assign(`/lessons?moved=${id}`));
mover.addEventListener("ended", () => location.reload());
follow(live, mover.refresh);
live.start();
