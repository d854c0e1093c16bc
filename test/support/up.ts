import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ZodType } from 'zod';
import { up } from '../../src/lib/platform/up/up.js';
import { runCli } from './cli.js';

/** A platform in this process for `runCli`, with separate contexts and a signing key. */
export interface UpForTests {
  folder: string;
  /** Origin of the platform (https). */
  url: string;
  /** URL of the broker. */
  mqtts: string;
  /** PEM file with the CA certificate. */
  ca: string;
  /** The guide's services, if they are enabled. */
  guide: Awaited<ReturnType<typeof up>>['result']['urls']['guide'];
  /** A one-time login link for a browser. */
  dashboard: string | undefined;
  stop(): Promise<void>;
}

export async function upForTests(options: Partial<Parameters<typeof up>[0]> = {}): Promise<UpForTests> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-up-'));
  const before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  const compatPorts: [number, number, number, number] = [0, 0, 0, 0];
  const ports = { host: '127.0.0.1', httpPort: 0, mqttPort: 0, compatPorts };
  const { result, stop } = await up({
    data: join(folder, 'platform'),
    newToken: false,
    ...ports,
    ...options,
  });
  return {
    folder,
    url: result.urls.http,
    mqtts: result.urls.mqtts,
    ca: result.ca,
    guide: result.urls.guide,
    dashboard: result.dashboard,
    async stop() {
      await stop();
      if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
      else process.env.AIOT_CONFIG_DIR = before;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a command with --json, and expects one line, exit code 0, and a result that matches its schema. */
export async function ok<T>(schema: ZodType<T>, argv: string[]): Promise<T> {
  const { code, json, stdout, stderr } = await runCli([...argv, '--json']);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return schema.parse(json);
}

/** Runs a command with --json, and returns the error with which the command ends. */
export async function refusal(
  argv: string[],
): Promise<{ code: string; subject?: string; message: string; exit: number }> {
  const { json, code } = await runCli([...argv, '--json']);
  const { error } = json as { error: { code: string; subject?: string; message: string } };
  const { subject } = error;
  return { code: error.code, ...(subject && { subject }), message: error.message, exit: code };
}
