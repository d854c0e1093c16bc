// The read loop from the nats package's documentation, optimized for speed: an ordered consumer, and large writes of many payloads.
//
//   node bench/streams/nats-reader.mjs PORT STREAM COUNT
import { connect } from 'nats';

const [port, stream, count] = process.argv.slice(2);
const nc = await connect({ servers: `127.0.0.1:${port}` });
const consumer = await nc.jetstream().consumers.get(stream);
let left = Number(count);
let chunk = [];
let held = 0;
const flush = () => {
  process.stdout.write(Buffer.concat(chunk));
  chunk = [];
  held = 0;
};
const newline = Buffer.from('\n');
for await (const { data } of await consumer.consume({ max_messages: 2000 })) {
  chunk.push(data, newline);
  held += data.length + 1;
  left--;
  if (held >= 65_536 || left === 0) flush();
  if (left === 0) break;
}
await nc.close();
