import { fakeDevice } from './fake-device.js';

/**
 * Sends five messages of the recording `r1` in the stream `imu` from the device `dev`, whose identity is in a folder.
 * `from` is the first sequence number.
 */
export async function sendFew(url: string, identity: string, from = 1): Promise<void> {
  const device = await fakeDevice(url, identity, 'dev');
  for (let seq = from; seq < from + 5; seq++) {
    const payload = {
      ...{ t: 1_700_000_000_000 + seq, seq, recording: 'r1', rateHz: 10 },
      ...{ fields: ['x'], samples: [[seq]] },
    };
    await device.client.publishAsync('aiot/v1/dev/telemetry/imu', JSON.stringify(payload), { qos: 1 });
  }
  await device.client.endAsync();
}
