// The broker's throughput against Mosquitto's: one fast publisher, one mosquitto_sub, the same messages, in turn. With QoS 1 the
// publisher waits for its acknowledgements. Plain topics, no persistent session: neither side writes to the disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { startMosquitto } from '../../test/support/mosquitto.js';
import { guideMessages } from '../streams/guide.js';
import { prepareBlast } from '../streams/mqtt-blast.js';
import { median, startPlatformProcess } from './process.js';

export interface BrokerFigure {
  what: string;
  /** Messages a second from the first to the last at the subscriber, medians of the rounds. */
  ours: number;
  theirs: number;
  /** ours / theirs, median of the pairs. */
  ratio: number;
}

interface Target {
  port: number;
  password: string;
}

/** QoS 0 and 1, each in so many rounds of so many messages. */
export async function brokerFigures(
  folder: string,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<BrokerFigure[]> {
  const platform = await startPlatformProcess(folder);
  // It limits nothing here: by default it drops what a subscriber does not take at once.
  const mosquitto = await startMosquitto();
  const ours: Target = { port: Number(new URL(platform.urls.mqtt ?? '').port), password: platform.token };
  const theirs: Target = { port: mosquitto.port, password: 'x' };
  try {
    const figures: BrokerFigure[] = [];
    for (const qos of [0, 1] as const) {
      const pairs: [number, number][] = [];
      for (let round = 0; round < rounds; round++) {
        pairs.push([await rate(ours, qos, messages), await rate(theirs, qos, messages)]);
      }
      figures.push({
        what: `QoS ${qos}`,
        ours: median(pairs.map(([own]) => own)),
        theirs: median(pairs.map(([, other]) => other)),
        ratio: median(pairs.map(([own, other]) => own / other)),
      });
    }
    return figures;
  } finally {
    await mosquitto.stop();
    await platform.stop();
  }
}

async function rate({ port, password }: Target, qos: 0 | 1, messages: number): Promise<number> {
  const login = { username: 'bench', password };
  const args = ['-h', '127.0.0.1', '-p', String(port), '-u', login.username, '-P', password];
  const subscriber = spawn('mosquitto_sub', [
    ...[...args, '-t', 'bench/#', '-q', String(qos), '-C', String(messages), '-W', '120'],
  ]);
  const done = once(subscriber, 'close');
  subscriber.stdout.resume();
  const blast = await prepareBlast({ port, topic: 'bench/a', payloads: guideMessages(messages), qos, login });
  // It does not say when it has subscribed.
  await delay(500);
  const begun = performance.now();
  await Promise.all([blast(), done]);
  return messages / ((performance.now() - begun) / 1000);
}
