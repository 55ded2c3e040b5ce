// Fan-out by Node's ws, with a Redis subscription, as its documentation shows a broadcast.
// `serve REDIS_URL` prints its port. `publish REDIS_URL`, in another process, sends each line of
// its input to all clients.

import { once } from "node:events";
import readline from "node:readline";
import { createClient } from "@redis/client";
import { WebSocket, WebSocketServer } from "ws";

const CHANNEL = "bench:ws";
const [mode, url] = process.argv.slice(2);
const unix = url.startsWith("unix://");
const redis = createClient(unix ? { socket: { path: url.slice(7).split("?")[0] } } : { url });
await redis.connect();

if (mode === "serve") {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 2048 });
  server.on("connection", (client) => {
    client.on("error", () => client.terminate());
    client.send("joined");
  });
  await once(server, "listening");
  await redis.subscribe(CHANNEL, (message) => {
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(message);
    }
  });
  console.log(server.address().port);
} else {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await redis.publish(CHANNEL, line);
  }
  await redis.close();
}
