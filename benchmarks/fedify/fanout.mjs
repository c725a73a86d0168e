// Fedify's side of benchmarks/fanout.py: `node fanout.mjs NODE_MODULES SINK_PORT COUNT`. Each line on standard input
// sends one Create to COUNT inboxes on as many origins, through an in-process queue that delivers twenty at once.
import readline from "node:readline";

const [modules, port, count] = process.argv.slice(2);
const load = (path) => import(`${modules}/${path}`);
const { createFederation, InProcessMessageQueue, MemoryKvStore, ParallelMessageQueue } = await load(
  "@fedify/fedify/dist/mod.js"
);
const { Create, Person } = await load("@fedify/vocab/dist/mod.js");

const federation = createFederation({
  kv: new MemoryKvStore(),
  queue: new ParallelMessageQueue(new InProcessMessageQueue(), 20),
  allowPrivateAddress: true,
  manuallyStartQueue: true,
});
const rsa = { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
const pair = await crypto.subtle.generateKey(rsa, true, ["sign", "verify"]);
federation
  .setActorDispatcher("/users/{identifier}", (context, identifier) => new Person({ id: context.getActorUri(identifier) }))
  .setKeyPairsDispatcher(async () => [pair]);
const context = federation.createContext(new URL("http://127.0.0.1:9400/"), undefined);
const host = (index) => `127.${1 + (index >> 16)}.${(index >> 8) & 255}.${(index & 255) || 254}`;
const recipients = Array.from({ length: Number(count) }, (_, index) => {
  const id = `http://${host(index)}:${port}/users/u${index}`;
  return { id: new URL(id), inboxId: new URL(`${id}/inbox`), endpoints: null };
});
federation.startQueue(undefined, { signal: new AbortController().signal });
console.log("ready");

let number = 0;
for await (const _line of readline.createInterface({ input: process.stdin })) {
  number += 1;
  const actor = context.getActorUri("alice").href;
  const note = {
    id: `${actor}/notes/${number}`,
    type: "Note",
    attributedTo: actor,
    to: "https://www.w3.org/ns/activitystreams#Public",
    content: `<p>${"word ".repeat(400)}</p>`,
  };
  const create = { "@context": "https://www.w3.org/ns/activitystreams", id: `${note.id}/create`, type: "Create", actor };
  const activity = await Create.fromJsonLd({ ...create, to: note.to, object: note }, context);
  await context.sendActivity({ identifier: "alice" }, recipients, activity);
}
process.exit(0);
