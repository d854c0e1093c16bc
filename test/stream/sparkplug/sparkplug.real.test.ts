import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { payloadFields } from '../../../src/lib/stream/sparkplug/payload.js';
import type { SparkplugValue } from '../../../src/lib/stream/sparkplug/source.js';
import { root } from '../../support/cli.js';
import { type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { describeReal, python } from '../../support/real.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
const patience = { timeout: 30_000, interval: 20 };
const script = join(root, 'test/support/python/sparkplug.py');

interface Program {
  child: ChildProcess;
  /** Lines that it has printed. */
  lines: Record<string, unknown>[];
  send(line: object): void;
}

function program(mode: 'node' | 'pynode' | 'host', port: number): Program {
  const child = spawn(python('sparkplug'), [script, mode, String(port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: Program['lines'] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  closing.push(async () => {
    child.stdin.end();
    if (child.exitCode === null) {
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await once(child, 'exit');
      clearTimeout(timer);
    }
  });
  return { child, lines, send: (line) => child.stdin.write(`${JSON.stringify(line)}\n`) };
}

async function broker(): Promise<Mosquitto> {
  const started = await startMosquitto();
  closing.push(() => started.stop());
  return started;
}

async function reader(port: number, path = '/plant'): Promise<SparkplugValue[]> {
  const source = await openSource(`sparkplug://127.0.0.1:${port}${path}`, { overflow: 'wait' });
  closing.push(() => source.close());
  const heard: SparkplugValue[] = [];
  void (async () => {
    for await (const { message, ack } of deliveriesOf(source)) {
      heard.push(JSON.parse(Buffer.from(message.payload).toString()) as SparkplugValue);
      ack();
    }
  })();
  return heard;
}
const kinds = (heard: SparkplugValue[]) => heard.map(({ type }) => type);
const json = (value: unknown) => [{ topic: 'press', payload: Buffer.from(JSON.stringify(value)) }];

describeReal('sparkplug', 'Sparkplug with Eclipse Tahu and pysparkplug over Mosquitto', () => {
  it('uses the field numbers of Eclipse Tahu', async () => {
    const { stdout } = spawnSync(python('sparkplug'), [script, 'schema'], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    const theirs = JSON.parse(stdout) as Record<string, Record<string, number>>;
    const names: Record<string, string> = { Cell: 'DataSetValue' };
    const ours = await payloadFields();
    expect(Object.keys(ours)).toHaveLength(9);
    for (const [message, fields] of Object.entries(ours))
      for (const [field, id] of Object.entries(fields))
        expect([message, field, id]).toEqual([message, field, theirs[names[message] ?? message]?.[field]]);
  });

  it('reads an edge node of Tahu, and asks it for births that were missed', async () => {
    const { port } = await broker();
    const node = program('node', port);
    await expect.poll(() => node.lines.length, patience).toBe(1);
    const heard = await reader(port);
    node.send({ level: -6 });
    await expect.poll(() => kinds(heard), patience).toEqual(['DDATA', 'NBIRTH', 'DBIRTH']);
    await expect
      .poll(() => node.lines, patience)
      .toContainEqual({ command: 'Node Control/Rebirth', value: true, datatype: 11 });
    // Without its birth, an Int8 has neither name nor sign.
    expect(heard[0]).toMatchObject({ device: 'press', unresolved: { 1: 250 } });
    expect(heard[2]?.metrics).toEqual({ level: -6, counter: '9007199254740993', ratio: 0.5, name: 'M1' });
    node.send({ level: -128, counter: -1, name: 'grün' });
    node.send({ ratio: 0.25 });
    await expect
      .poll(() => heard.slice(3).map(({ metrics }) => metrics), patience)
      .toEqual([{ level: -128, counter: -1, name: 'grün' }, { ratio: 0.25 }]);
    node.send({ vanish: true });
    await expect.poll(() => heard.at(-1), patience).toMatchObject({ type: 'NDEATH', online: false });
    expect(heard.some(({ gap }) => gap)).toBe(false);
  }, 60_000);

  it('reads an edge node of pysparkplug', async () => {
    const { port } = await broker();
    const heard = await reader(port, '/plant/python/press');
    const node = program('pynode', port);
    await expect.poll(() => kinds(heard), patience).toEqual(['DBIRTH']);
    node.send({ level: 300 });
    node.send({ remove: true });
    await expect.poll(() => kinds(heard), patience).toEqual(['DBIRTH', 'DDATA', 'DDEATH']);
    expect(heard.map(({ metrics }) => metrics.level)).toEqual([-7, 300, undefined]);
  }, 60_000);

  it('commands an edge node of Tahu in the types of its births', async () => {
    const { port } = await broker();
    const node = program('node', port);
    await expect.poll(() => node.lines.length, patience).toBe(1);
    const sink = await openSink(`sparkplug://127.0.0.1:${port}/plant/python?commands=true`);
    closing.push(() => sink.close());
    await sink.write(json({ level: -6, counter: '-9007199254740993', ratio: 0.25, name: 'grün' }));
    await expect.poll(() => node.lines.length, patience).toBe(6);
    expect(node.lines.slice(1)).toEqual([
      { command: 'Node Control/Rebirth', value: true, datatype: 11 },
      { command: 'level', value: 250, datatype: 1 },
      { command: 'counter', value: '18437736874454810623', datatype: 4 },
      { command: 'ratio', value: 0.25, datatype: 9 },
      { command: 'name', value: 'grün', datatype: 12 },
    ]);
  }, 60_000);

  it('commands a device of pysparkplug', async () => {
    const { port } = await broker();
    // This node answers no requests, so the sink must see it being born.
    const sink = await openSink(`sparkplug://127.0.0.1:${port}/plant/python/press?commands=true`);
    closing.push(() => sink.close());
    const heard = await reader(port, '/plant/python/press');
    const node = program('pynode', port);
    await expect.poll(() => kinds(heard), patience).toEqual(['DBIRTH']);
    await sink.write(json({ level: -300 }));
    await expect
      .poll(() => node.lines, patience)
      .toContainEqual({ command: { level: -300 }, types: { level: 'INT16' } });
  }, 60_000);

  it('is read by a host of pysparkplug, which sees a new session after a lost connection', async () => {
    const mosquitto = await broker();
    const host = program('host', mosquitto.port);
    await expect.poll(() => host.lines.length, patience).toBe(1);
    const sink = await openSink(`sparkplug://127.0.0.1:${mosquitto.port}/plant/line`);
    closing.push(() => sink.close());
    await sink.write(json({ temperature: 21.5, on: true, name: 'grün' }));
    await sink.write(json({ temperature: 22 }));
    host.send({ rebirth: 'line' });
    const heard = () => host.lines.slice(1).map(({ type, seq, session }) => [type, seq ?? session]);
    await expect.poll(heard, patience).toEqual([
      ...[
        ['NBIRTH', 0],
        ['DBIRTH', 1],
        ['DDATA', 2],
        ['NBIRTH', 0],
        ['DBIRTH', 1],
      ],
    ]);
    expect(host.lines[2]).toMatchObject({
      device: 'press',
      metrics: { temperature: 21.5, on: true, name: 'grün' },
      retain: false,
      qos: 0,
    });
    expect(host.lines[3]?.metrics).toEqual({ temperature: 22 });
    expect(host.lines[5]?.metrics).toEqual({ temperature: 22, on: true, name: 'grün' });
    const before = host.lines.length;
    await mosquitto.restart({ signal: 'SIGKILL' });
    await expect.poll(() => host.lines.filter(({ ready }) => ready).length, patience).toBe(2);
    await sink.write(json({ temperature: 23 }));
    host.send({ rebirth: 'line' });
    // The births after the lost connection, with the earlier value, may arrive only now.
    await expect
      .poll(() => host.lines.slice(before).at(-1)?.metrics, patience)
      .toEqual({ temperature: 23, on: true, name: 'grün' });
    expect(host.lines.at(-1)?.type).toBe('DBIRTH');
    const sessions = host.lines
      .filter(({ type }) => type === 'NBIRTH')
      .map(({ metrics }) => (metrics as { bdSeq: number }).bdSeq);
    // While the broker starts, each attempt to connect begins a session.
    const session = sessions.at(-1);
    expect(sessions[0]).toBe(0);
    expect(session).toBeGreaterThan(0);
    await sink.close();
    await expect.poll(() => host.lines.at(-1), patience).toMatchObject({ type: 'NDEATH', session, qos: 1 });
  }, 90_000);
});
