import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

/** Connects without retries, so that a rejected connection is an immediate error. */
export async function connect(url: string, options: IClientOptions): Promise<MqttClient> {
  return mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 20_000, ...options }, false);
}

/** Connects with the identity in a folder written by provisionDevice. */
export function connectDevice(
  url: string,
  identity: string,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const file = (name: string) => readFileSync(join(identity, name));
  return connect(url, { cert: file('device.crt'), key: file('device.key'), ca: file('ca.crt'), ...options });
}
