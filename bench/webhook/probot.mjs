// The peer: probot's own server with one handler that does nothing. It checks the signature and keeps nothing.
//   PROBOT=folder with node_modules/probot   GODWIT_WEBHOOK_SECRET   BENCH_KEY=file with an RSA key
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const resolve = createRequire(process.env.PROBOT + "/package.json").resolve;
const { createNodeMiddleware, createProbot } = await import(pathToFileURL(resolve("probot")).href);
const probot = createProbot({
  overrides: {
    appId: 1, privateKey: readFileSync(process.env.BENCH_KEY, "utf8"),
    secret: process.env.GODWIT_WEBHOOK_SECRET, logLevel: "fatal",
  },
});
const handle = await createNodeMiddleware((app) => app.on("pull_request", () => {}), { probot, webhooksPath: "/github/webhook" });
const server = createServer((request, response) => handle(request, response, () => response.writeHead(404).end()));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
