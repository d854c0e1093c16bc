// The traffic of a rollout over a million devices, by wave, as shown in docs/background/scale.md.
//
//   npx tsx bench/scale/rollout.ts [--devices N] [--rate N]
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { thousands } from '../../src/lib/core/figures.js';
import { type Counts, type ScaleFigures, simulate } from './simulate.js';
import { envelopeBytes, proofBytes } from './sizes.js';

const blobBytes = 153_600;
/**
 * Messages per second that one platform handled in the rollout described in docs/background/benchmarks.md.
 */
const onePlatform = 5200;

/** @param rate offers per minute */
export async function simulatedRollout(devices: number, rate: number): Promise<ScaleFigures> {
  return simulate({
    devices,
    policy: {
      ...{ waves: ['0.1%', '1%', '10%', '50%'], perMinute: rate, attempts: 2 },
      ...{ minSuccess: '90%', offlineMs: 3_600_000 },
    },
    network: {
      ...{ seed: 7, loss: 0.01, latencyMs: [20, 200], offline: 0.02, failRate: 0.002 },
      ...{ powerCuts: 0.002, bytesPerSecond: 50_000 },
    },
    bytes: { blob: blobBytes, manifest: envelopeBytes(), proof: await proofBytes('plant-1-sensor-0000001') },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { devices: { type: 'string' }, rate: { type: 'string' } } });
  const [devices, rate] = [Number(values.devices ?? 1_000_000), Number(values.rate ?? 12_000)];
  const figures = await simulatedRollout(devices, rate);
  console.log(
    `${thousands(devices)} devices, ${thousands(rate)} offers a minute; a model of ${thousands(blobBytes)} bytes`,
  );
  waves(figures);
  whole(figures, devices);
  arithmetic(figures, devices);
}

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
    'Each cell: the mean, and the busiest second. Messages are PUBLISH packets in both directions, each with a PUBACK.',
  );
}

function whole(
  { rehearsal, total, seconds, wrong, offersInMinute, peak }: ScaleFigures,
  devices: number,
): void {
  const { state, committed, failed, left } = rehearsal;
  const each = (count: number) => (count / devices).toFixed(2);
  console.log(
    `${state} after ${(seconds / 60).toFixed(0)} min: ${thousands(committed)} committed, ${thousands(failed)} failed, ${thousands(left)} left; ${wrong} repeated or early offers`,
  );
  console.log(
    `at most ${thousands(offersInMinute)} offers within a minute, ${thousands(peak.offers)} within a second`,
  );
  console.log(
    `  per device: ${each(total.messagesDown)} messages to it, ${each(total.messagesUp)} from it, ${each(total.acks)} acknowledgments; ${each(total.bytesDown)} and ${each(total.bytesUp)} bytes of MQTT, ${each(total.rows)} rows written, ${each(total.manifests)} manifests and ${each(total.blobs)} downloads, ${each(total.connects)} connections`,
  );
}

function arithmetic({ mean, peak }: ScaleFigures, devices: number): void {
  const most = messages(peak);
  console.log(
    `  messages: at most ${thousands(Math.round(most))} a second, ×${(most / onePlatform).toFixed(2)} of the rate that one platform handled`,
  );
  console.log(
    `  downloads: at most ${((peak.blobs * blobBytes * 8) / 1e9).toFixed(2)} Gbit/s, ${((mean.blobs * blobBytes * 8) / 1e9).toFixed(2)} on average, ${((devices * blobBytes) / 1e9).toFixed(0)} GB in all; manifests ${((peak.manifests * envelopeBytes() * 8) / 1e6).toFixed(1)} Mbit/s`,
  );
  console.log(
    `  rows: at most ${thousands(Math.round(peak.rows))} a second, ${thousands(Math.round(mean.rows))} on average`,
  );
  console.log(
    `  reconnections: at most ${thousands(peak.connects)} a second, ${thousands(Math.round(mean.connects))} on average`,
  );
}

function messages({ messagesUp, messagesDown }: Counts): number {
  return messagesUp + messagesDown;
}

function both(mean: Counts, peak: Counts, of: (counts: Counts) => number): string {
  return `${thousands(Math.round(of(mean)))}, ${thousands(Math.round(of(peak)))}`;
}
