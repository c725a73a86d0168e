// A small Fedify server: one actor, its outbox and followers, and a few commands that a test can give it.
//
//   node fedify_server.mjs PORT KEY_FILE CERTIFICATE_FILE FIRST_KNOCK
//
// What it heard is at GET /control/heard; commands are POSTs to /control/NAME with a JSON body.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import {
  createFederation,
  generateCryptoKeyPair,
  InProcessMessageQueue,
  MemoryKvStore,
} from "@fedify/fedify";
import * as vocab from "@fedify/vocab";

const [port, keyFile, certificateFile, firstKnock] = process.argv.slice(2);
const origin = `https://localhost:${port}`;
const { Accept, Create, Endpoints, Follow, Note, Person, Undo, PUBLIC_COLLECTION } = vocab;

const heard = [];
const followers = new Map();
const posts = [];
const keys = [];

const federation = createFederation({
  kv: new MemoryKvStore(),
  queue: new InProcessMessageQueue(),
  origin,
  firstKnock,
  allowPrivateAddress: true,
});

federation
  .setActorDispatcher("/users/{identifier}", async (context, identifier) => {
    if (identifier !== "fed") return null;
    const pairs = await context.getActorKeyPairs(identifier);
    return new Person({
      id: context.getActorUri(identifier),
      preferredUsername: identifier,
      name: "Fed",
      inbox: context.getInboxUri(identifier),
      outbox: context.getOutboxUri(identifier),
      followers: context.getFollowersUri(identifier),
      endpoints: new Endpoints({ sharedInbox: context.getInboxUri() }),
      publicKey: pairs[0].cryptographicKey,
      assertionMethods: pairs.map((pair) => pair.multikey),
    });
  })
  .setKeyPairsDispatcher(async () => {
    if (keys.length === 0) {
      keys.push(await generateCryptoKeyPair("RSASSA-PKCS1-v1_5"), await generateCryptoKeyPair("Ed25519"));
    }
    return keys;
  });

federation.setFollowersDispatcher("/users/{identifier}/followers", async () => ({
  items: [...followers.values()],
  nextCursor: null,
}));

federation
  .setOutboxDispatcher("/users/{identifier}/outbox", async (context, _identifier, cursor) => {
    if (cursor == null) return null;
    const start = Number(cursor);
    const items = posts.slice(start, start + 2);
    return { items, nextCursor: start + 2 < posts.length ? String(start + 2) : null };
  })
  .setFirstCursor(async () => "0")
  .setCounter(async () => posts.length);

federation
  .setInboxListeners("/users/{identifier}/inbox", "/inbox")
  .on(Follow, async (context, follow) => {
    const follower = await follow.getActor(context);
    heard.push({ type: "Follow", actor: follow.actorId?.href });
    followers.set(follow.actorId.href, {
      id: follower.id,
      inboxId: follower.inboxId,
      endpoints: follower.endpoints,
    });
    const accept = new Accept({
      id: new URL(`#accept/${heard.length}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: follow,
    });
    await context.sendActivity({ identifier: "fed" }, follower, accept);
  })
  .on(Accept, async (_context, accept) => {
    heard.push({ type: "Accept", actor: accept.actorId?.href });
  })
  .on(Undo, async (context, undo) => {
    const undone = await undo.getObject(context);
    heard.push({ type: "Undo", actor: undo.actorId?.href });
    if (undone instanceof Follow) followers.delete(undo.actorId.href);
  })
  .on(Create, async (context, create) => {
    const object = await create.getObject(context);
    heard.push({ type: "Create", actor: create.actorId?.href, content: object?.content?.toString() });
  });

const commands = {
  async lookup(context, { handle }) {
    const found = await context.lookupObject(handle);
    return { id: found?.id?.href ?? null, name: found?.name?.toString() ?? null };
  },
  async follow(context, { actor }) {
    const object = await context.lookupObject(actor);
    const follow = new Follow({
      id: new URL(`#follow/${actor}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: new URL(actor),
    });
    await context.sendActivity({ identifier: "fed" }, object, follow);
    return {};
  },
  async unfollow(context, { actor }) {
    const object = await context.lookupObject(actor);
    const undo = new Undo({
      id: new URL(`#undo/${actor}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: new Follow({
        id: new URL(`#follow/${actor}`, context.getActorUri("fed")),
        actor: context.getActorUri("fed"),
        object: new URL(actor),
      }),
    });
    await context.sendActivity({ identifier: "fed" }, object, undo);
    return {};
  },
  async post(context, { content }) {
    const number = posts.length + 1;
    const note = new Note({
      id: new URL(`/notes/${number}`, origin),
      attribution: context.getActorUri("fed"),
      content,
      to: PUBLIC_COLLECTION,
      cc: context.getFollowersUri("fed"),
    });
    const create = new Create({
      id: new URL(`/creates/${number}`, origin),
      actor: context.getActorUri("fed"),
      object: note,
      to: PUBLIC_COLLECTION,
      cc: context.getFollowersUri("fed"),
    });
    posts.unshift(create);
    await context.sendActivity({ identifier: "fed" }, "followers", create, { preferSharedInbox: true });
    return { id: create.id.href };
  },
  async traverse(context, { collection }) {
    const found = await context.lookupObject(collection);
    const items = [];
    for await (const item of context.traverseCollection(found)) items.push(item.id?.href ?? null);
    return { items };
  },
  async heard() {
    return { heard, followers: [...followers.keys()] };
  },
};

async function answer(request) {
  const url = new URL(request.url);
  if (!url.pathname.startsWith("/control/")) {
    return await federation.fetch(request, { contextData: undefined });
  }
  const command = commands[url.pathname.slice("/control/".length)];
  if (command === undefined) return new Response("no such command", { status: 404 });
  try {
    const body = request.method === "POST" ? await request.json() : {};
    return Response.json(await command(federation.createContext(new URL(origin), undefined), body));
  } catch (error) {
    return Response.json({ error: String(error?.stack ?? error) }, { status: 500 });
  }
}

const server = createServer(
  { key: readFileSync(keyFile), cert: readFileSync(certificateFile) },
  async (incoming, outgoing) => {
    const parts = [];
    for await (const part of incoming) parts.push(part);
    const request = new Request(new URL(incoming.url, origin), {
      method: incoming.method,
      headers: Object.entries(incoming.headers).flatMap(([name, value]) =>
        Array.isArray(value) ? value.map((each) => [name, each]) : [[name, value]]
      ),
      body: parts.length > 0 ? Buffer.concat(parts) : undefined,
    });
    const response = await answer(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  },
);
server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
