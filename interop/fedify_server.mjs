// A small Fedify server: the actor "fed", its outbox and followers, and a few commands that a test can give it.
// Its other actor, "fed-two", is the account that it moves to.
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
const { Accept, Block, Create, Delete, Endpoints, Follow, Move, Note, Person, Reject, Tombstone, Undo, Update } = vocab;
const { PUBLIC_COLLECTION } = vocab;

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
// The path of the inbox that was last posted to, and the key that signed that request.
let servedPath = null;
let servedKey = null;
// The identifiers of deleted actors.
const deleted = new Set();

const federation = createFederation({
  kv: new MemoryKvStore(),
  queue: new InProcessMessageQueue(),
  origin,
  firstKnock,
  allowPrivateAddress: true,
});

async function actorOf(context, identifier) {
  if (deleted.has(identifier)) return new Tombstone({ id: context.getActorUri(identifier) });
  if (!["fed", "fed-new", "fed-two"].includes(identifier)) return null;
  const pairs = await context.getActorKeyPairs(identifier);
  return new Person({
    id: context.getActorUri(identifier),
    preferredUsername: identifier,
    name: "Fed",
    inbox: context.getInboxUri(identifier === "fed-two" ? identifier : inboxOf),
    // Only the account that "fed" moves to names it.
    aliases: identifier === "fed-two" ? [context.getActorUri("fed")] : [],
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
    const followed = context.parseUri(follow.objectId)?.identifier ?? "fed";
    if (answerMode !== "pending") await answerFollow(context, follow, follower, answerMode === "accept", followed);
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
  .on(Update, async (context, update) => {
    const actor = await update.getObject(context);
    if (followers.has(actor?.id?.href)) followers.set(actor.id.href, recipientOf(actor));
    heard.push({ type: "Update", actor: update.actorId?.href });
  })
  .on(Move, async (context, move) => {
    // The new account has to name the old one. Whoever follows the old account then follows the new one.
    const target = await move.getTarget(context);
    const isConfirmed = target.aliasIds.some((alias) => alias.href === move.objectId?.href);
    heard.push({ type: "Move", actor: move.actorId?.href, target: target.id?.href, isConfirmed });
    if (isConfirmed) await sendFollow(context, target);
  })
  .on(Delete, async (_context, deletion) => {
    heard.push({ type: "Delete", actor: deletion.actorId?.href, object: deletion.objectId?.href });
    followers.delete(deletion.objectId?.href);
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
      signedBy: servedKey,
    });
    const ownFollowers = context.getFollowersUri("fed").href;
    if ([...create.toIds, ...create.ccIds].some((id) => id.href === ownFollowers)) {
      await context.forwardActivity({ identifier: "fed" }, "followers", { skipIfUnsigned: true });
    }
  });

function recipientOf(actor) {
  return { id: actor.id, inboxId: actor.inboxId, endpoints: actor.endpoints };
}

async function sendFollow(context, object) {
  followId = new URL(`#follow/${crypto.randomUUID()}`, context.getActorUri("fed"));
  const follow = new Follow({ id: followId, actor: context.getActorUri("fed"), object: object.id });
  await context.sendActivity({ identifier: "fed" }, object, follow);
}

async function answerFollow(context, follow, follower, accepts, followed = "fed") {
  if (accepts) followers.set(follow.actorId.href, recipientOf(follower));
  else followers.delete(follow.actorId.href);
  const Answer = accepts ? Accept : Reject;
  const answer = new Answer({
    id: new URL(`#answer/${crypto.randomUUID()}`, context.getActorUri(followed)),
    actor: context.getActorUri(followed),
    object: follow,
  });
  await context.sendActivity({ identifier: followed }, follower, answer);
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
    await sendFollow(context, await context.lookupObject(actor));
    return {};
  },
  async move(context, { actor }) {
    const move = new Move({
      id: new URL(`#move/${crypto.randomUUID()}`, context.getActorUri("fed")),
      actor: context.getActorUri("fed"),
      object: context.getActorUri("fed"),
      target: context.getActorUri("fed-two"),
    });
    await context.sendActivity({ identifier: "fed" }, await context.lookupObject(actor), move);
    return {};
  },
  async deleteActor(context, { actor }) {
    const recipient = await context.lookupObject(actor);
    const deletion = new Delete({
      id: new URL(`#delete/${crypto.randomUUID()}`, context.getActorUri("fed-two")),
      actor: context.getActorUri("fed-two"),
      object: context.getActorUri("fed-two"),
      to: PUBLIC_COLLECTION,
    });
    await context.sendActivity({ identifier: "fed-two" }, recipient, deletion);
    deleted.add("fed-two");
    return {};
  },
  async reply(context, { content, inReplyTo, actor, audience }) {
    const addressing = { to: new URL(audience), cc: new URL(actor) };
    const note = new Note({
      id: new URL(`/notes/replies/${crypto.randomUUID()}`, origin),
      attribution: context.getActorUri("fed"),
      replyTarget: new URL(inReplyTo),
      content,
      ...addressing,
    });
    const create = new Create({
      id: new URL(`/creates/replies/${crypto.randomUUID()}`, origin),
      actor: context.getActorUri("fed"),
      object: note,
      ...addressing,
    });
    await context.sendActivity({ identifier: "fed" }, await context.lookupObject(actor), create);
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
  async post(context, { content, visibility = "public", inbox = "shared" }) {
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
    await context.sendActivity({ identifier: "fed" }, "followers", create, {
      preferSharedInbox: inbox === "shared",
    });
    return { id: create.id.href, object: note.id.href };
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
    if (request.method === "POST") {
      servedPath = url.pathname;
      const signature = `${request.headers.get("signature")} ${request.headers.get("signature-input")}`;
      servedKey = signature.match(/keyid="([^"]+)"/i)?.[1] ?? null;
    }
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
