// /teach: shows new bookings on the open page, and announces them in batches.

import { describer } from "./incoming.js";
import { followBookings } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const { zone, instructor, today } = document.getElementById("teach").dataset;

const live = new Live();
follow(live, followBookings(live, describer(instructor, zone)));
live.watch(instructor, { first: today, days: 1 });
live.start();
