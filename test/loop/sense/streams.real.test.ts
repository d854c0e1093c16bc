import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { openSensing } from '../../../src/lib/loop/sense/open.js';
import type { SensingEvent } from '../../../src/lib/loop/sense/types.js';
import type { Sensing } from '../../../src/lib/loop/types.js';
import { mosquittoPub, startMosquitto } from '../../support/mosquitto.js';
import { natsClient, startNats } from '../../support/nats.js';
import { describeReal } from '../../support/real.js';
import { motion } from './fake-source.js';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Reads a sensor in the background. */
async function reading(sensor: string) {
  const events: SensingEvent[] = [];
  const sensing = await openSensing({ sensor, contract: motion, onEvent: (event) => events.push(event) });
  ends.push(() => sensing.close());
  const seen = { x: [] as number[], times: [] as number[], breaks: [] as number[] };
  void (async () => {
    for await (const { values, times, count, lost } of sensing) {
      if (lost > 0) seen.breaks.push(seen.times.length);
      for (let i = 0; i < count; i++) seen.x.push(values[i * 3]!);
      seen.times.push(...times.subarray(0, count));
    }
  })();
  return { sensing, seen, events };
}

async function until(what: () => boolean, ms = 15_000): Promise<void> {
  for (const end = Date.now() + ms; !what(); ) {
    if (Date.now() > end) throw new Error('it did not come to that');
    await delay(20);
  }
}

const start = 1_795_000_000_000;
/** Telemetry in device protocol v1: message `seq` with ten samples at 100 Hz. */
const telemetry = (seq: number) => {
  const column = Array.from({ length: 10 }, (_, i) => seq * 10 + i);
  return JSON.stringify({
    seq,
    t: start + seq * 100,
    rate: 100,
    recording: 'a',
    x: column,
    y: column,
    z: column,
  });
};
const total = ({ sensing }: { sensing: Sensing }) => sensing.rates().samples;

describeReal('mosquitto', 'telemetry from a board over MQTT', () => {
  it('arrives sample for sample, and resumes after a broker outage with the gap counted by number', async () => {
    const broker = await startMosquitto();
    ends.push(() => broker.stop());
    const topic = 'aiot/v1/board-1/telemetry/motion';
    const read = await reading(`mqtt://127.0.0.1:${broker.port}/aiot/v1/+/telemetry/motion`);
    const publish = (seq: number) => mosquittoPub(broker.port, topic, telemetry(seq));
    for (let seq = 0; seq < 15; seq++) publish(seq);
    publish(14);
    mosquittoPub(broker.port, 'aiot/v1/board-2/telemetry/motion', telemetry(15));
    await until(() => total(read) === 150 && read.seen.x.length === 150);
    expect(read.seen.x).toEqual(Array.from({ length: 150 }, (_, i) => i));
    expect(read.seen.times.slice(0, 3)).toEqual([start, start + 10, start + 20]);

    await broker.restart({ downMs: 300 });
    await until(() => read.sensing.connected === true && read.sensing.faults.reconnects === 1);
    for (let seq = 20; seq < 30; seq++) publish(seq);
    await until(() => total(read) === 250 && read.seen.x.length === 250);
    expect(read.seen.breaks).toEqual([150]);
    expect(read.seen.x.slice(150)).toEqual(Array.from({ length: 100 }, (_, i) => 200 + i));
    expect(read.sensing.rates()).toMatchObject({ lost: 50, gaps: 1 });
    expect(read.sensing.rates().rateHz).toBeCloseTo(100, 3);
    const kinds = read.events.map(({ kind }) => kind);
    expect(kinds).toEqual(['skipped', 'lost', 'found', 'gap']);
    expect(read.events[0]?.text).toMatch(
      /board-2\/telemetry\/motion, but aiot\/v1\/board-1\/telemetry\/motion is in use/,
    );
  });
});

describeReal('socat', 'an edge board that forwards samples over a serial line', () => {
  it('is read again after it is replugged, and a truncated line is not a sample', {
    timeout: 60_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-board-'));
    ends.push(async () => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'ttyUSB0');
    const plug = async () => {
      const child = spawn('socat', [`PTY,raw,echo=0,link=${path}`, 'STDIO'], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      ends.push(async () => void child.kill());
      await until(() => existsSync(path));
      return child;
    };
    const board = await plug();
    const read = await reading(`serial://${path}?columns=millis,x,y,z&resample=off`);
    const line = (n: number) => `${5000 + n};${n};0;1\r\n`;
    board.stdin.write(
      `starting up, please wait\r\n${Array.from({ length: 120 }, (_, n) => line(n)).join('')}5120;12`,
    );
    await until(() => total(read) === 120 && read.seen.x.length === 120);
    // It removes its link when it ends, which must not be the next board's.
    const gone = once(board, 'exit');
    board.kill();
    await gone;
    await until(() => read.sensing.connected === false);
    const again = await plug();
    await until(() => read.sensing.connected === true);
    // The restarted board counts from its start.
    again.stdin.write(Array.from({ length: 120 }, (_, n) => line(n - 400)).join(''));
    await until(() => total(read) === 240 && read.seen.x.length === 240);
    expect(read.seen.x.slice(0, 120)).toEqual(Array.from({ length: 120 }, (_, n) => n));
    expect(read.seen.breaks).toEqual([120]);
    expect(read.seen.x.at(-1)).toBe(119 - 400);
    for (const [i, t] of read.seen.times.entries())
      if (i > 0) expect(t).toBeGreaterThan(read.seen.times[i - 1]!);
    expect(read.sensing.faults.reconnects).toBe(1);
    const { lost, gaps } = read.sensing.rates();
    const away = read.seen.times[120]! - read.seen.times[119]!;
    expect(gaps).toBe(1);
    expect(away).toBeGreaterThan(250);
    expect(lost).toBe(Math.round(away) - 1);
  });
});

describeReal('nats', 'records over NATS', () => {
  it('are resampled from 104.3 Hz to 100 Hz, and a record without an axis affects no others', async () => {
    const server = await startNats();
    ends.push(() => server.stop());
    const client = await natsClient(server);
    ends.push(() => client.close());
    const read = await reading(`${server.url}/samples?seq=n`);
    const tone = (t: number) => Math.sin((2 * Math.PI * 2 * t) / 1000);
    const count = 2086;
    for (let n = 0; n < count; n++) {
      const t = (n * 1000) / 104.3;
      const record = { n, t: start + t, x: tone(t), y: 2 * tone(t), z: 1 };
      // One record lacks z. Its neighbors bridge the gap, and no axis is shifted relative to another.
      client.publish('samples', JSON.stringify(n === 1000 ? { ...record, z: undefined } : record));
      if (n % 200 === 0) await client.flush();
    }
    await client.flush();
    await until(() => total(read) === count - 1 && read.seen.x.length > 1940);
    const { x, times, breaks } = read.seen;
    expect(breaks).toEqual([]);
    expect(read.sensing.rates()).toMatchObject({ lost: 1, gaps: 1 });
    times.forEach((t, i) => {
      expect(t - times[0]!).toBeCloseTo(i * 10, 3);
      // Over a gap of 19 ms, the error of linear interpolation is the distance between the curve and the
      // line.
      const nearHole = Math.abs(t - start - (1000 * 1000) / 104.3) < 100;
      expect(Math.abs(x[i]! - tone(t - start))).toBeLessThan(nearHole ? 8e-3 : 2e-4);
    });
    // The order depends on how many records arrive together.
    expect(read.events.map(({ text }) => text).sort()).toEqual([
      'a message is not a sample: expected z in the message, got n, t, x, y (1 so far)',
      'samples at 104.30 Hz are resampled to 100 Hz',
    ]);
  });

  it('are read from a stream’s beginning, and continue after a server kill', async () => {
    const server = await startNats();
    ends.push(() => server.stop());
    const client = await natsClient(server);
    ends.push(() => client.close());
    const manager = await client.jetstreamManager();
    await manager.streams.add({ name: 'SAMPLES', subjects: ['samples'] });
    const publish = async (from: number, to: number) => {
      const own = await natsClient(server);
      ends.push(() => own.close());
      for (let n = from; n < to; n++) {
        await own.jetstream().publish('samples', JSON.stringify([n, start + n * 10, n, n, n]));
      }
    };
    await publish(0, 200);
    const read = await reading(
      `${server.url}/samples?stream=SAMPLES&from=beginning&columns=n,t,x,y,z&seq=n&time=t`,
    );
    await until(() => total(read) === 200 && read.seen.x.length === 200);
    await server.kill();
    await until(() => read.sensing.connected === false);
    await server.start();
    await publish(200, 300);
    await until(() => total(read) === 300 && read.seen.x.length === 300);
    expect(read.seen.x).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(read.seen.breaks).toEqual([]);
    expect(read.sensing.rates()).toMatchObject({ lost: 0, gaps: 0 });
  });
});
