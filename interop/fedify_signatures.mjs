// Fedify's signatures, asked by another process: each line in is a task as JSON, each line out its answer.
//
//   node fedify_signatures.mjs
//
// The first task is `keys`: private keys as base64 of PKCS #8, and the documents that may be fetched. A task with `calls` is done as often, and
// the answer tells the microseconds of one (`us`); whatever is not Fedify's work, such as making the Request, is done before the clock starts.

import { createInterface } from "node:readline";
import {
  signJsonLd,
  signObject,
  signRequest,
  verifyJsonLd,
  verifyObject,
  verifyRequestDetailed,
} from "@fedify/fedify";
import { Object as AnyObject } from "@fedify/vocab";
import { getDocumentLoader } from "@fedify/vocab-runtime";

const keys = {};
const documents = {};
const known = new Map();
const contextLoader = getDocumentLoader();

const options = {
  contextLoader,
  async documentLoader(url) {
    const document = documents[url] ?? documents[url.split("#")[0]];
    if (document === undefined) throw new Error(`nothing at ${url}`);
    return { contextUrl: null, documentUrl: url, document };
  },
  keyCache: {
    get: async (id) => known.get(id.href),
    // Failures are not kept: a key that is no key of requests may be one of proofs.
    set: async (id, key) => void (key != null && known.set(id.href, key)),
  },
};

const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64"));
const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

const tasks = {
  async keys({ rsa, ed25519, served }) {
    keys.rsa = { id: new URL(rsa.id), native: await crypto.subtle.importKey("pkcs8", bytes(rsa.pkcs8), RSA, true, ["sign"]) };
    keys.public = await crypto.subtle.importKey("spki", bytes(rsa.spki), RSA, true, ["verify"]);
    keys.ed25519 = {
      id: new URL(ed25519.id),
      native: await crypto.subtle.importKey("pkcs8", bytes(ed25519.pkcs8), "Ed25519", true, ["sign"]),
    };
    Object.assign(documents, served);
    return [async () => ({ node: process.version })];
  },
  async floor({ body, data, signature, calls }) {
    const [hashed, signed, value] = [body, data, signature].map(bytes);
    return repeated(calls, async () => {
      await crypto.subtle.digest("SHA-256", hashed);
      return { holds: await crypto.subtle.verify(RSA.name, keys.public, value, signed) };
    });
  },
  async floorSign({ body, data, calls }) {
    const [hashed, signed] = [body, data].map(bytes);
    return repeated(calls, async () => {
      await crypto.subtle.digest("SHA-256", hashed);
      await crypto.subtle.sign(RSA.name, keys.rsa.native, signed);
      return {};
    });
  },
  async sign({ spec, request, calls, rfc9421 }) {
    return requests(request, calls).map((made) => async () => {
      const body = request.method === "GET" ? null : bytes(request.body ?? "").buffer;
      const signed = await signRequest(made, keys.rsa.native, keys.rsa.id, { spec, body, rfc9421 });
      return { headers: [...signed.headers] };
    });
  },
  async verify({ request, calls }) {
    return requests(request, calls).map((made) => async () => {
      const result = await verifyRequestDetailed(made, options);
      return { holds: result.verified, why: result.reason?.type };
    });
  },
  async prove({ document, calls }) {
    const object = await AnyObject.fromJsonLd(document, options);
    return repeated(calls, async () => {
      const signed = await signObject(object, keys.ed25519.native, keys.ed25519.id, options);
      return { document: await signed.toJsonLd({ format: "compact", contextLoader }) };
    });
  },
  async checkProof({ document, calls }) {
    return repeated(calls, async () => ({ holds: (await verifyObject(AnyObject, document, options)) != null }));
  },
  async signLd({ document, calls }) {
    return repeated(calls, async () => ({
      document: await signJsonLd(document, keys.rsa.native, keys.rsa.id, { contextLoader }),
    }));
  },
  async checkLd({ document, calls }) {
    return repeated(calls, async () => ({ holds: await verifyJsonLd(document, options) }));
  },
};

function requests({ method, url, headers, body }, calls = 1) {
  return repeated(calls, () => new Request(url, { method, headers, body: body ? bytes(body) : undefined })).map((make) => make());
}

function repeated(calls, call) {
  return Array(calls ?? 1).fill(call);
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { task, ...given } = JSON.parse(line);
    const jobs = await tasks[task](given);
    const began = performance.now();
    for (const job of jobs) answer = await job();
    answer.us = ((performance.now() - began) * 1000) / jobs.length;
  } catch (error) {
    answer = { holds: false, why: String(error) };
  }
  console.log(JSON.stringify(answer));
}
