import { connect } from './mqtt.js';
import type { TestPlatform } from './platform.js';

interface Place {
  stream: string;
  device: string;
  recording: string;
}

/** Sends one row of an unlabeled recording as the operator. */
export async function record(
  { mqtts, ca, token }: { mqtts: string; ca: string; token: string },
  { stream, device, recording }: Place,
): Promise<void> {
  const client = await connect(mqtts, { ca, username: 'recorder', password: token });
  const row = { seq: 0, t: 1000, rate: 10, recording, v: 1 };
  await client.publishAsync(`aiot/v1/${device}/telemetry/${stream}`, JSON.stringify(row), { qos: 1 });
  await client.endAsync();
}

/** Creates a recording and labels it `walk`. */
export async function recordAndLabel(own: TestPlatform, place: Place): Promise<void> {
  await record({ mqtts: own.platform.urls.mqtts, ca: own.ca, token: own.token }, place);
  await own.client.labels.post({ ...place, label: 'walk' });
}
