import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createGuideClient } from '../../src/lib/api/guide/client.js';
import { addContext } from '../../src/lib/core/contexts.js';
import type { GuidePlaces } from '../../src/lib/device/guide/at-platform.js';
import { guideTopics } from '../../src/lib/device/guide/messages.js';
import {
  type GuideEvent,
  guideEventSchema,
  type SimulateGuideOptions,
} from '../../src/lib/device/guide/simulate.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { tableNetwork } from './any-bundle.js';
import { runCli } from './cli.js';
import { type TestGuide, testGuide } from './guide.js';
import { connect } from './mqtt.js';

export type BoardMaking = Omit<SimulateGuideOptions, 'services'> & { places: GuidePlaces };

/** A model that always predicts more than 0.8, because of the bias in its last layer. */
function alarmed(): Uint8Array {
  const graph = tableNetwork('probability');
  const last = graph.operators.filter(({ op }) => op === 'FULLY_CONNECTED').at(-1);
  const bias = graph.tensors[last?.inputs[2] ?? -1]?.data as Float32Array;
  bias.fill(1e6);
  return writeTflite(graph);
}

/**
 * Tests for any board that uses the guide's protocol on a platform. `run` runs a board until its signal is aborted.
 * `flags` are the flags of `device simulate` for such a board.
 */
export function guideBoardSuite(run: (making: BoardMaking) => Promise<void>, flags: string[] = []): void {
  let own: TestGuide;
  beforeAll(async () => {
    own = await testGuide({ compatMaxRows: 4 });
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, mqtt: urls.mqtts, ca, token: own.token }, { use: true });
  }, 30_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await own.stop();
  });

  /** Runs a board until `stop` is called. */
  function start(id: string, role: SimulateGuideOptions['role'], high: number) {
    const controller = new AbortController();
    const events: GuideEvent[] = [];
    const done = run({
      ...{ id, role, to: own.urls.mqtt, signal: controller.signal },
      places: { ...own.urls, ca: own.ca },
      sensor: {
        ...{ fields: ['current', 'temperature', 'vibration', 'sound'], rateHz: 10 },
        *samples() {
          for (;;) yield [high, 24.5, 0.25, 60];
        },
      },
      onEvent: (event) => events.push(guideEventSchema.parse(event)),
    });
    const stop = async () => {
      controller.abort();
      await done;
    };
    const until = async (event: GuideEvent['event'], fits = (_: GuideEvent) => true) => {
      for (let i = 0; i < 1000; i++) {
        const found = events.find((one) => one.event === event && fits(one));
        if (found) return found;
        await delay(10);
      }
      throw new Error(`no ${event} in 10 s: ${JSON.stringify(events)}`);
    };
    return { events, stop, until };
  }

  it('send nothing before activation; then one reads, infers and acts, and the other evaluates its readings', async () => {
    const operator = await connect(own.platform.urls.mqtts, {
      ...{ ca: own.ca, username: 'operator', password: own.token },
    });
    const heard: { topic: string; text: string }[] = [];
    operator.on('message', (topic, payload) => heard.push({ topic, text: payload.toString() }));
    await operator.subscribeAsync([guideTopics.data, guideTopics.level1, guideTopics.level2], { qos: 1 });

    const [one, two] = [start('14333616', 'level-1', 0.5), start('14333617', 'level-2', 0)];
    await one.until('waiting');
    await two.until('waiting');
    expect(heard).toEqual([]);
    const registry = createGuideClient({ url: own.urls.devices, ca: own.ca });
    for (const id of ['14333616', '14333617']) await registry.provision(id);
    await one.until('sent');
    await two.until('connected');
    const reading =
      '{"deviceID": "14333616", "current": 0.50, "temperature": 24.50, "vibration": 0.25, "sound": 60.00, "fft_data": "true"';
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0), 10_000);
    expect(heard[0]).toEqual({ topic: guideTopics.data, text: `${reading}}` });
    expect(one.events.some(({ event }) => event === 'servo')).toBe(false);

    const shelf = createGuideClient({ url: own.urls.models, ca: own.ca });
    await shelf.upload('motor.tflite', alarmed());
    const say = (text: string) => operator.publishAsync(guideTopics.control, text, { qos: 1 });
    for (const wrong of [
      '{"payload": "motor.tflite"}',
      `{"command": "download-model", "payload": "${'x'.repeat(200)}"}`,
    ])
      await say(wrong);
    await one.until('refused');
    await say('{"command": "download-model", "payload": "nowhere.tflite"}');
    await one.until('refused', (event) => event.event === 'refused' && event.message.includes('404'));
    await say('{"command": "download-model", "payload": "motor.tflite"}');
    await one.until('model');
    await one.until('servo', (event) => event.event === 'servo' && event.on);
    await one.until('sent', (event) => event.event === 'sent' && event.topic === guideTopics.level1);
    await two.until('sent', (event) => event.event === 'sent' && event.topic === guideTopics.level2);
    for (const topic of [guideTopics.level1, guideTopics.level2])
      await vi.waitFor(() => expect(heard.map((message) => message.topic)).toContain(topic), 10_000);
    await Promise.all([one.stop(), two.stop(), registry.close(), shelf.close()]);
    operator.end(true);
    expect(heard.find(({ topic }) => topic === guideTopics.level1)?.text).toBe(
      `${reading}, "inference": 1.000000}`,
    );
    const alert = JSON.parse(heard.find(({ topic }) => topic === guideTopics.level2)?.text ?? '{}');
    expect(alert).toMatchObject({ deviceID: '14333616', current: 0.5, inference: 1, model: 'motor.tflite' });
    for (const { text } of heard) expect(Buffer.byteLength(text)).toBeLessThan(230);
    // The level 2 board has no sensors, so all readings are from the other board.
    expect(two.events.some((event) => event.event === 'sent' && event.topic === guideTopics.data)).toBe(
      false,
    );
  }, 60_000);

  it('are started by id on the current platform', async () => {
    const registry = createGuideClient({ url: own.urls.devices, ca: own.ca });
    await registry.provision('77');
    await registry.close();
    const words = ['77', '--motor', 'blocked', '--count', '3', '--rate', '50', '--json'];
    const { stdout, code } = await runCli([
      'device',
      'simulate',
      '--board',
      'architects-guide',
      ...flags,
      ...words,
    ]);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => guideEventSchema.parse(JSON.parse(line)));
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).toEqual([
      'activated',
      'connected',
      'sent',
      'sent',
      'sent',
      'ended',
    ]);
  }, 30_000);
}
