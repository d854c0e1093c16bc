/**
 * Stores a prediction every second millisecond, and prints its number once it is safe, until it is killed: `tsx
 * putter.ts URL SPOOL FIRST`.
 */
import { openOutputs } from '../../src/lib/loop/output/outputs.js';

const [url = '', spoolFolder = '', first = '0'] = process.argv.slice(2);
const outputs = await openOutputs({
  urls: [url],
  send: 'always',
  spoolFolder,
  spoolLimit: 8e6,
  device: 'pi',
  startMs: 1000,
});
const model = { name: 'm', version: null };
const same = { label: 'a', voted: 'a', scores: [1], value: null, latencyMs: 1, changed: true, model };
for (let window = Number(first); ; window++) {
  outputs.put({ ...same, t: Date.now(), window });
  await outputs.settled();
  process.stdout.write(`${window}\n`);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
