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
const { Accept, Block, Create, Endpoints, Follow, Note, Person, Reject, Undo, Update, PUBLIC_COLLECTION } = vocab;

const heard = [];
const followers = new Map();
const posts = [];
const keys = [];
// How the next Follow is answered: "accept", "reject" or "pending".
let answerMode = "accept";
// The latest Follow of each actor.
const received = new Map();
// The id of its latest Follow, which its Undo names.
let followId = null;
// Whose inbox the actor names: that of "fed-new" after it has moved its inbox.
let inboxOf = "fed";
// The path of the inbox that was last posted to.
let servedPath = null;

const federation = createFederation({
  kv: new MemoryKvStore(),
  queue: new InProcessMessageQueue(),
  origin,
  firstKnock,
  allowPrivateAddress: true,
});

async function actorOf(context, identifier) {
  if (identifier !== "fed" && identifier !== "fed-new") return null;
  const pairs = await context.getActorKeyPairs(identifier);
  return new Person({
    id: context.getActorUri(identifier),
    preferredUsername: identifier,
    name: "Fed",
    inbox: context.getInboxUri(inboxOf),
    outbox: context.getOutboxUri(identifier),
    followers: context.getFollowersUri(identifier),
    // With its new inbox it has no shared inbox, so that the path of a delivery shows the inbox that is used.
    endpoints: inboxOf === "fed" ? new Endpoints({ sharedInbox: context.getInboxUri() }) : null,
    publicKey: pairs[0].cryptographicKey,
    assertionMethods: pairs.map((pair) => pair.multikey),
  });
}

federation
  .setActorDispatcher("/users/{identifier}", actorOf)
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
    received.set(follow.actorId.href, follow);
    if (answerMode !== "pending") await answerFollow(context, follow, follower, answerMode === "accept");
  })
  .on(Accept, async (_context, accept) => {
    heard.push({ type: "Accept", actor: accept.actorId?.href });
  })
  .on(Reject, async (_context, reject) => {
    heard.push({ type: "Reject", actor: reject.actorId?.href });
  })
  .on(Block, async (_context, block) => {
    heard.push({ type: "Block", actor: block.actorId?.href });
    followers.delete(block.actorId?.href);
  })
  .on(Update, async (_context, update) => {
    heard.push({ type: "Update", actor: update.actorId?.href });
  })
  .on(Undo, async (context, undo) => {
    const undone = await undo.getObject(context);
    heard.push({ type: "Undo", actor: undo.actorId?.href });
    if (undone instanceof Follow) followers.delete(undo.actorId.href);
  })
  .on(Create, async (context, create) => {
    const object = await create.getObject(context);
    heard.push({
      type: "Create",
      actor: create.actorId?.href,
      content: object?.content?.toString(),
      to: create.toIds.map((id) => id.href),
      cc: create.ccIds.map((id) => id.href),
      inbox: servedPath,
    });
  });

async function answerFollow(context, follow, follower, accepts) {
  if (accepts) {
    followers.set(follow.actorId.href, {
      id: follower.id,
      inboxId: follower.inboxId,
      endpoints: follower.endpoints,
    });
  } else followers.delete(follow.actorId.href);
  const Answer = accepts ? Accept : Reject;
  const answer = new Answer({
    id: new URL(`#answer/${crypto.randomUUID()}`, context.getActorUri("fed")),
    actor: context.getActorUri("fed"),
    object: follow,
  });
  await context.sendActivity({ identifier: "fed" }, follower, answer);
}

const commands = {
  async answering(_context, { mode }) {
    answerMode = mode;
    return {};
  },
  async answer(context, { actor, accepts }) {
    const follower = await context.lookupObject(actor);
    await answerFollow(context, received.get(actor), follower, accepts === "true");
    return {};
  },
  async block(context, { actor }) {
    const blocked = await context.lookupObject(actor);
    followers.delete(actor);
    const block = new Block({
      id: new URL(`#block/${crypto.randomUUID()}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: new URL(actor),
    });
    await context.sendActivity({ identifier: "fed" }, blocked, block);
    return {};
  },
  async moveInbox(context, { actor }) {
    inboxOf = "fed-new";
    const recipient = await context.lookupObject(actor);
    const update = new Update({
      id: new URL(`#update/${crypto.randomUUID()}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: await actorOf(context, "fed"),
      to: PUBLIC_COLLECTION,
    });
    await context.sendActivity({ identifier: "fed" }, recipient, update);
    return {};
  },
  async lookup(context, { handle }) {
    const found = await context.lookupObject(handle);
    return { id: found?.id?.href ?? null, name: found?.name?.toString() ?? null };
  },
  async follow(context, { actor }) {
    const object = await context.lookupObject(actor);
    followId = new URL(`#follow/${crypto.randomUUID()}`, context.getActorUri("fed"));
    const follow = new Follow({
      id: followId,
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
        id: followId,
        actor: context.getActorUri("fed"),
        object: new URL(actor),
      }),
    });
    await context.sendActivity({ identifier: "fed" }, object, undo);
    return {};
  },
  async post(context, { content, visibility = "public" }) {
    const number = posts.length + 1;
    const followersUri = context.getFollowersUri("fed");
    const audience = {
      public: { to: PUBLIC_COLLECTION, cc: followersUri },
      unlisted: { to: followersUri, cc: PUBLIC_COLLECTION },
      followers: { to: followersUri },
    }[visibility];
    const note = new Note({
      id: new URL(`/notes/${visibility}/${number}`, origin),
      attribution: context.getActorUri("fed"),
      content,
      ...audience,
    });
    const create = new Create({
      id: new URL(`/creates/${visibility}/${number}`, origin),
      actor: context.getActorUri("fed"),
      object: note,
      ...audience,
    });
    if (visibility === "public") posts.unshift(create);
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
    if (request.method === "POST") servedPath = url.pathname;
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
