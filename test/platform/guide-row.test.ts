import { describe, expect, it } from 'vitest';
import { csvLine, oneDecimal, rawName } from '../../src/lib/platform/compat/readings.js';
import { controlMessage, isControl } from '../../src/lib/platform/compat/relay.js';

const line = (message: unknown) => csvLine(Buffer.from(JSON.stringify(message)), 1_651_869_371_000);

describe('a row of raw training data', () => {
  it('matches the guide’s firmware, with one decimal', () => {
    const payload =
      '{"deviceID": "14333616", "current": 2.25, "temperature": 35.75, "vibration": 0.04, "sound": 61.00, "fft_data": "true"}';
    expect(csvLine(Buffer.from(payload), 1_651_869_371_000)).toBe('14333616,1651869371000,2.2,35.8,0.0,61.0');
    expect(line({ deviceID: 'a', timeStamp: '5', current: 1 })).toBe('a,5,1.0,0.0,0.0,0.0');
  });

  it('is not made from a message without a valid device, or with invalid values', () => {
    const wrong = [
      { current: 1 },
      { deviceID: '' },
      { deviceID: 7 },
      { deviceID: 'a,b' },
      { deviceID: 'a\nb' },
      { deviceID: 'a', current: '1' },
      { deviceID: 'a', timeStamp: { a: 1 } },
      null,
      [],
      'x',
    ];
    expect(wrong.map(line)).toEqual(wrong.map(() => null));
    expect(csvLine(Buffer.from([0x7b, 0xff]), 1)).toBeNull();
  });

  it('formats numbers as C does, rounding halves to even', () => {
    const values = [
      0.25, 0.75, 1.25, -0.25, -0.75, 2.35, 0.05, -0.04, 0, -0, 1e21, 123456.75, 1e-9, 99.95, -1.35,
    ];
    // The expected values are from Python's "%.1f", which formats numbers like C.
    const expected =
      '0.2 0.8 1.2 -0.2 -0.8 2.4 0.1 -0.0 0.0 -0.0 1000000000000000000000.0 123456.8 0.0 100.0 -1.4';
    expect(values.map(oneDecimal)).toEqual(expected.split(' '));
  });
});

describe('the ingest', () => {
  it('derives file names from local time and milliseconds', () => {
    const at = new Date(2022, 4, 6, 7, 8, 9, 12).getTime();
    expect(rawName(at)).toBe(`raw_sensor_training_data_2022-05-06T07:08:09:${at}.csv`);
  });

  it('writes control messages with the guide’s spaces, and withholds those that would crash boards', () => {
    expect(controlMessage('extract-data', 'a.csv').toString()).toBe(
      '{"command": "extract-data", "payload" : "a.csv"}',
    );
    expect(isControl(controlMessage('download-model', 'm.tflite'))).toBe(true);
    for (const text of [
      '{"payload": "x"}',
      '{"command": "x"}',
      'null',
      '[]',
      'x',
      '{"command": 1, "payload": "x"}',
    ]) {
      expect(isControl(Buffer.from(text)), text).toBe(false);
    }
    expect(isControl(controlMessage('download-model', 'm'.repeat(230)))).toBe(false);
  });
});
