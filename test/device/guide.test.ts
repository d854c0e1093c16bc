import { describe, expect, it } from 'vitest';
import { openServices } from '../../src/lib/device/guide/at-platform.js';
import {
  level1Message,
  level2Message,
  longestGuideMessage,
  readControl,
  readSensorMessage,
  sensorMessage,
} from '../../src/lib/device/guide/messages.js';
import { createRule, simulateGuideBoard } from '../../src/lib/device/guide/simulate.js';
import { controlMessage, longestControl } from '../../src/lib/platform/compat/relay.js';
import { guideBoardSuite } from '../support/guide-boards.js';

const reading = { current: 0.5, temperature: 24.123, vibration: 1.005, sound: 61 };

describe('a guide message', () => {
  it("matches the output of the guide's firmware", () => {
    expect(sensorMessage('14333616', reading).toString()).toBe(
      '{"deviceID": "14333616", "current": 0.50, "temperature": 24.12, "vibration": 1.00, "sound": 61.00, "fft_data": "true"}',
    );
    expect(level1Message('14333616', reading, 0.9).toString()).toBe(
      '{"deviceID": "14333616", "current": 0.50, "temperature": 24.12, "vibration": 1.00, "sound": 61.00, "fft_data": "true", "inference": 0.900000}',
    );
    const alert = { reading, inference: 0.75, model: 'm.tflite', time: 1795168216492 };
    expect(JSON.parse(level2Message('1', alert).toString())).toEqual({
      ...{ deviceID: '1', current: 0.5, temperature: 24.12, vibration: 1, sound: 61 },
      ...{ inference: 0.75, model: 'm.tflite', time: 1795168216492 },
    });
  });

  it('never exceeds the length that small clients accept, in either direction', () => {
    expect(longestGuideMessage).toBe(longestControl);
    const most = { current: -99999.99, temperature: -99999.99, vibration: -99999.99, sound: -99999.99 };
    const alert = { reading: most, inference: 0.123456789, model: 'm'.repeat(255), time: 9_999_999_999_999 };
    for (const message of [
      sensorMessage('16777215', most),
      level1Message('16777215', most, 1 / 3),
      level2Message('16777215', alert),
    ]) {
      expect(message.length).toBeLessThanOrEqual(longestGuideMessage);
      JSON.parse(message.toString());
    }
    const frame = controlMessage('download-model', '').length;
    const control = controlMessage('download-model', 'x'.repeat(longestControl - frame));
    expect(control.length).toBe(longestControl);
    expect(readControl(control)).toMatchObject({ command: 'download-model' });
    expect(readControl(Buffer.concat([control, Buffer.from(' ')]))).toBeNull();
  });

  it.each([
    '',
    '{',
    'null',
    '[]',
    '{"payload": "x"}',
    '{"command": "download-model"}',
    '{"command": 1, "payload": "x"}',
  ])('is not a control message if it is %j', (text) => expect(readControl(Buffer.from(text))).toBeNull());

  it.each([
    '',
    '{',
    '{"deviceID": "1"}',
    '{"deviceID": 1, "current": 1, "temperature": 1, "vibration": 1, "sound": 1}',
  ])('is not a reading if it is %j', (text) => expect(readSensorMessage(Buffer.from(text))).toBeNull());
});

describe('the servo', () => {
  it('turns on above 0.8 and off below 0.7, keeps each state for 5 s, and turns off without predictions', () => {
    const rule = createRule();
    const steps: [number | null, number][] = [
      [0.8, 0],
      [0.81, 100],
      [0.75, 6000],
      [0.5, 6001],
      [0.9, 7000],
      [0.9, 11_001],
      [0.1, 12_000],
      [null, 20_000],
      [null, 42_001],
    ];
    expect(steps.map(([answer, at]) => [rule.step(answer, at), rule.on])).toEqual([
      [false, false],
      [true, true],
      [false, true],
      [true, false],
      [false, false],
      [true, true],
      [false, true],
      [false, true],
      [true, false],
    ]);
  });
});

describe("the guide's boards on the platform", () => {
  guideBoardSuite(async ({ places, ...board }) => {
    const { services, close } = openServices(places);
    await simulateGuideBoard({ ...board, services }).finally(close);
  });
});
