// Fedify's side of benchmarks/idle.py: `node idle.mjs NODE_MODULES`. A federation with a started in-process queue, which
// nothing is sent to.
const [modules] = process.argv.slice(2);
const { createFederation, InProcessMessageQueue, MemoryKvStore } = await import(
  `${modules}/@fedify/fedify/dist/mod.js`
);
const queue = new InProcessMessageQueue();
const federation = createFederation({ kv: new MemoryKvStore(), queue, manuallyStartQueue: true });
federation.startQueue(undefined, { signal: new AbortController().signal });
console.log("ready");
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
