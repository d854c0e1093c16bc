import type { LoopStatus } from '../../src/lib/loop/status.js';

/** The status of a healthy loop, with the given parts replaced. */
export function loopStatus(more: Partial<LoopStatus> = {}): LoopStatus {
  return {
    name: 'har-imu',
    pid: process.pid,
    startedAt: 1_700_000_000_000,
    at: 1_700_000_060_000,
    state: 'running',
    sensor: {
      endpoint: 'i2c://1/lsm6ds3tr-c',
      connected: true,
      samples: 6000,
      lost: 0,
      gaps: 0,
      rateHz: 100.02,
      jitterP99Ms: 0.4,
      overruns: 0,
      retries: 1,
      reconnects: 0,
      lastSampleAt: 1_700_000_059_990,
    },
    model: {
      name: 'har-imu',
      version: 3,
      digest: 'sha256:abc',
      source: 'platform',
      delegate: 'cpu',
      swaps: 0,
      refused: [],
      lastError: null,
    },
    windows: 50,
    predictions: 50,
    last: { t: 1_700_000_059_000, label: 'walking', voted: 'walking' },
    latencyMs: { p50: 1.5, p99: 3 },
    outputs: [
      {
        endpoint: 'nats://127.0.0.1:4222/output',
        connected: true,
        sent: 50,
        waiting: 0,
        dropped: 0,
        lastError: null,
      },
    ],
    rssMb: 120.5,
    events: [{ t: 1_700_000_001_000, text: 'sensor found' }],
    ...more,
  };
}
