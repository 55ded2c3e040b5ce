// /account: copies new recovery codes.

import { offerCopy } from "./copy.js";

offerCopy(document.getElementById("copy-codes"), document.getElementById("codes"), {
  copied: "The codes were copied.",
  selected: "The codes are selected. Copy them with the keyboard.",
});
