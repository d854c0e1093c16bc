// Streams, side by side with the tools that people use: mosquitto_sub, kcat, the nats package's own client, and a bridge in Go as the
// guide has it, on brokers that are started here.
//
//   npm run bench:streams [-- --short] [-- --only CASE,CASE]
//
// Whole processes, in turn, from the first message to the last; medians of several rounds, and of the ratios of each pair. The exit
// code is 1 when a limit is broken, 2 when a peer is missing. The short form has fewer messages, two rounds and the cases that tell
// most, for machines that do other things too: there a figure breaks its limit only when it is less than half of it.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { kafkaJars } from '../../test/support/kafka.js';
import { machine } from '../models/measure.js';
import { bridgeFigures, bridgeText } from './bridge.js';
import { facesShares, mostOfCore } from './faces.js';
import { insideFigures } from './inside.js';
import { kafkaFigures } from './kafka.js';
import { type Figure, mqttFigures } from './mqtt.js';
import { natsFigures } from './nats.js';
import { routeFigures } from './route.js';
import { tidyAtEnd } from './tidy.js';

type Options = { messages: number; rounds: number; short: boolean };

interface Case {
  peer: string;
  figures(options: Options): Promise<(Figure & { more?: string; fails?: string })[]>;
}

const pictures = new URL('../../.venv/pictures/.stamp', import.meta.url);

/** Most memory that a bridge may take, MB. */
const bridgeMemory = 150;

const cases: Record<string, Case> = {
  mqtt: { peer: 'mosquitto_sub', figures: mqttFigures },
  // Fewer are read in the time that our code takes to be compiled.
  kafka: { peer: 'kcat', figures: (options) => kafkaFigures({ ...options, messages: 100_000 }) },
  nats: { peer: 'nats', figures: natsFigures },
  route: { peer: 'without expressions', figures: routeFigures },
  bridge: {
    peer: 'Go',
    figures: async (options) => {
      const figures = await bridgeFigures(options);
      return figures.map((figure) => ({
        ...figure,
        more: bridgeText(figure),
        ...(figure.what.endsWith('1') && figure.ourLost > 0 ? { fails: 'lost messages at QoS 1' } : {}),
        ...(figure.ourMemory > bridgeMemory ? { fails: `more than ${bridgeMemory} MB` } : {}),
      }));
    },
  },
  inside: {
    peer: 'Go',
    figures: async (options) => {
      const figures = await insideFigures(options);
      return figures.map((figure) => ({
        ...figure,
        more: `inside the platform, of ${Math.round(figure.memory)} MB; lost ${figure.ourLost}, Go ${figure.theirLost}`,
        ...(figure.ourLost > 0 ? { fails: 'lost messages' } : {}),
      }));
    },
  },
};

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const { short = false } = values;
const options = short ? { messages: 20_000, rounds: 2, short } : { messages: 100_000, rounds: 5, short };
const allowance = short ? 2 : 1;
const names = [...Object.keys(cases), 'faces'];
const wanted = values.only?.split(',') ?? names;
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) leave(`no case ${unknown.join(', ')}; there are ${names.join(', ')}`);
if (!existsSync(pictures)) leave('no pictures to look at; scripts/pictures.sh gets them');
if (!existsSync(kafkaJars('3.9.1'))) leave('no Kafka to work with; scripts/kafka.sh installs it');
for (const program of ['mosquitto', 'mosquitto_sub', 'nats-server', 'kcat', 'go', 'ffmpeg']) {
  const found = spawnSync('sh', ['-c', `command -v ${program} || test -x /usr/sbin/${program}`]);
  if (found.status !== 0) leave(`no ${program} to compare with`);
}

const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
tidyAtEnd(folder);
// Mosquitto, started by root, becomes a user of its own, which has to find its folder.
chmodSync(folder, 0o711);
// What the cases and their programs put into folders of their own is in this one.
process.env.TMPDIR = folder;
process.env.AIOT_CONFIG_DIR = join(folder, 'config');
process.env.AIOT_DATA_DIR = join(folder, 'data');
let broken = 0;
console.log(`${machine()}; ${options.messages} messages of the guide, ${options.rounds} rounds`);
for (const name of wanted.filter((each) => each !== 'faces')) {
  const { peer, figures } = cases[name]!;
  for (const figure of await figures(options)) {
    const kept = figure.ratio * allowance >= figure.least && figure.fails === undefined;
    if (!kept) broken += 1;
    const word = figure.fails
      ? 'BROKEN'
      : figure.ratio >= figure.least
        ? 'kept  '
        : kept
          ? 'MISSED'
          : 'BROKEN';
    const more = [figure.more, figure.fails].filter((text) => text !== undefined);
    console.log(
      `${word} ${figure.what}: aiot ${rate(figure.ours)} (${figure.ourCpu.toFixed(2)} CPU s), ${peer} ${rate(figure.theirs)} (${figure.theirCpu.toFixed(2)}); ×${figure.ratio.toFixed(2)}, at least ×${figure.least}${more.map((text) => `; ${text}`).join('')}`,
    );
  }
}
if (wanted.includes('faces')) {
  for (const { to, share } of await facesShares(options)) {
    const kept = share <= mostOfCore * allowance;
    if (!kept) broken += 1;
    const word = share <= mostOfCore ? 'kept  ' : kept ? 'MISSED' : 'BROKEN';
    const percent = (part: number) => `${(part * 100).toFixed(1)} %`;
    console.log(
      `${word} faces, 10 a second of 640 × 480, to ${to}: ${percent(share)} of one core, at most ${percent(mostOfCore)}`,
    );
  }
}
process.exit(broken > 0 ? 1 : 0);

function rate(perSecond: number): string {
  return `${(perSecond / 1000).toFixed(1)} k/s`;
}

function leave(message: string): never {
  console.error(message);
  process.exit(2);
}
