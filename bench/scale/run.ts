// A rollout over a million devices: what it asks of broker, database and downloads in each second, and what the engine itself costs.
//
//   npm run bench:scale [-- --short] [-- --devices N] [-- --rate N]
//
// Devices and time are simulated, the rollout engine and the devices' update state machine are not; the same seed has the same traffic.
// The exit code is 1 when a limit is broken. The short form has 20,000 devices.
import { parseArgs } from 'node:util';
import { thousands } from '../../src/lib/core/index.js';
import { machine } from '../models/measure.js';
import { engineFigures } from './engine.js';
import { type Counts, type ScaleFigures, simulate } from './simulate.js';
import { envelopeBytes, proofBytes } from './sizes.js';

const { values } = parseArgs({
  options: { short: { type: 'boolean' }, devices: { type: 'string' }, rate: { type: 'string' } },
});
const { short = false } = values;
const devices = Number(values.devices ?? (short ? 20_000 : 1_000_000));
/** Offers a minute. */
const rate = Number(values.rate ?? 12_000);
const bytes = { blob: 153_600, manifest: envelopeBytes(), proof: await proofBytes('plant-1-sensor-0000001') };
/** What one platform took in the rollout of docs/benchmarks.md, messages a second; and rows of one device's update. */
const onePlatform = 5200;
let broken = 0;

console.log(machine());
console.log(
  `${thousands(devices)} devices, ${thousands(rate)} offers a minute; a model of ${thousands(bytes.blob)} bytes, its manifest ${thousands(bytes.manifest)}, a signature ${thousands(bytes.proof)} bytes`,
);
const begun = performance.now();
const figures = simulate({
  devices,
  policy: {
    ...{ waves: ['0.1%', '1%', '10%', '50%'], perMinute: rate, attempts: 2 },
    ...{ minSuccess: '90%', offlineMs: 3_600_000 },
  },
  network: {
    ...{ seed: 7, loss: 0.01, latencyMs: [20, 200], offline: 0.02, failRate: 0.002 },
    ...{ powerCuts: 0.002, bytesPerSecond: 50_000 },
  },
  bytes,
});
const took = (performance.now() - begun) / 1000;
waves(figures);
whole(figures);
arithmetic(figures);
growth(short ? [2000, 20_000] : [10_000, 100_000, 1_000_000]);
process.exit(broken > 0 ? 1 : 0);

function waves({ waves }: ScaleFigures): void {
  console.log(
    '\n| wave | devices | minutes | offers/s | messages/s | kB/s from devices | rows/s | downloads/s |',
  );
  console.log('| --: | --: | --: | --: | --: | --: | --: | --: |');
  waves.forEach(({ devices, from, until, mean, peak }, i) => {
    const cells = [
      ...[i + 1, thousands(devices), ((until - from) / 60).toFixed(1)],
      ...[both(mean, peak, ({ offers }) => offers), both(mean, peak, messages)],
      ...[both(mean, peak, ({ bytesUp }) => bytesUp / 1000), both(mean, peak, ({ rows }) => rows)],
      both(mean, peak, ({ blobs }) => blobs),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  });
  console.log(
    'Each: mean, and the second with the most. Messages are PUBLISHes either way; each has a PUBACK.',
  );
}

function whole({ rehearsal, total, seconds, wrong, offersInMinute, peak }: ScaleFigures): void {
  const { state, committed, failed, left } = rehearsal;
  const each = (count: number) => (count / devices).toFixed(2);
  say(
    committed + failed + left === devices && wrong === 0,
    `${state} after ${(seconds / 60).toFixed(0)} min: ${thousands(committed)} committed, ${thousands(failed)} failed, ${thousands(left)} left; ${wrong} wishes told twice or too early (${took.toFixed(0)} s to compute)`,
  );
  say(
    offersInMinute <= rate + rate / 60 + 1,
    `at most ${thousands(offersInMinute)} offers within a minute, ${thousands(peak.offers)} within a second`,
  );
  console.log(
    `  a device: ${each(total.messagesDown)} messages to it, ${each(total.messagesUp)} from it, ${each(total.acks)} acknowledgements; ${each(total.bytesDown)} and ${each(total.bytesUp)} bytes of MQTT, ${each(total.rows)} rows written, ${each(total.manifests)} manifests and ${each(total.blobs)} downloads, ${each(total.connects)} connections`,
  );
}

function arithmetic({ mean, peak }: ScaleFigures): void {
  const most = messages(peak);
  console.log(
    `  messages: at most ${thousands(Math.round(most))} a second, ×${(most / onePlatform).toFixed(2)} of what one platform took`,
  );
  console.log(
    `  downloads: at most ${((peak.blobs * bytes.blob * 8) / 1e9).toFixed(2)} Gbit/s, ${((mean.blobs * bytes.blob * 8) / 1e9).toFixed(2)} in the mean, ${((devices * bytes.blob) / 1e9).toFixed(0)} GB in all; manifests ${((peak.manifests * bytes.manifest * 8) / 1e6).toFixed(1)} Mbit/s`,
  );
  console.log(
    `  rows: at most ${thousands(Math.round(peak.rows))} a second, ${thousands(Math.round(mean.rows))} in the mean`,
  );
  console.log(
    `  connections anew: at most ${thousands(peak.connects)} a second, ${thousands(Math.round(mean.connects))} in the mean`,
  );
}

/** The engine alone: what a device costs must not grow with how many there are. */
function growth(sizes: number[]): void {
  const all = sizes.map((size) => engineFigures(size, Math.max(50, size / 5000)));
  for (const { devices, memory, cpu } of all) {
    console.log(
      `  engine, ${thousands(devices)} devices: ${Math.round(memory.start)} bytes a device at its start, ${Math.round(memory.end)} at its end, ${cpu.toFixed(1)} µs of a processor`,
    );
  }
  const [first, last] = [all[0]!, all.at(-1)!];
  const exponent = (of: (one: typeof first) => number) =>
    Math.log((of(last) * last.devices) / (of(first) * first.devices)) /
    Math.log(last.devices / first.devices);
  const [memory, cpu] = [exponent((one) => one.memory.end), exponent((one) => one.cpu)];
  say(
    memory <= 1.1 && cpu <= 1.25 && all.every(({ committed, devices }) => committed === devices),
    `engine: memory grows with the ${memory.toFixed(2)}th power of the devices (limit 1.1), processor time with the ${cpu.toFixed(2)}th (limit 1.25)`,
  );
}

function messages({ messagesUp, messagesDown }: Counts): number {
  return messagesUp + messagesDown;
}

function both(mean: Counts, peak: Counts, of: (counts: Counts) => number): string {
  return `${thousands(Math.round(of(mean)))}, ${thousands(Math.round(of(peak)))}`;
}

function say(kept: boolean, text: string): void {
  if (!kept) broken += 1;
  console.log(`${kept ? 'kept  ' : 'BROKEN'} ${text}`);
}
