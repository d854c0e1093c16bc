import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { makeCertificates } from './certificates.js';
import { root } from './cli.js';
import { freePort } from './free-port.js';
import { listening } from './mosquitto.js';
import { endProgram, runProgram, told } from './programs.js';
import { guideClients, python } from './real.js';

/** Runs one of the guide's steps in Go, as a program with the guide's libraries, and returns its output. */
export async function goStep(args: string[], timeoutMs = 50_000): Promise<Record<string, unknown>> {
  return outcome(guideClients, args, await runProgram(guideClients, args, { timeoutMs }));
}

/**
 * Runs one of the guide's steps in Python, and returns its output. `tensorflow` is required for steps that train or
 * convert.
 */
export async function pythonStep(
  args: string[],
  { tensorflow = false } = {},
): Promise<Record<string, unknown>> {
  const program = python(tensorflow ? 'tensorflow' : 'guide');
  const all = [stepsFile, ...args];
  const env = { GUIDE_LIBRARIES: libraries(), TF_CPP_MIN_LOG_LEVEL: '3', TF_ENABLE_ONEDNN_OPTS: '0' };
  return outcome(
    program,
    all,
    await runProgram(program, all, { timeoutMs: 90_000, ...(tensorflow ? { env } : {}) }),
  );
}

/** Starts one of the guide's boards, which runs alongside other steps. `ended` rejects with its error. */
export function startBoard(args: string[]): {
  sent: Promise<void>;
  ended: Promise<Record<string, unknown>>;
  stop(): Promise<void>;
} {
  const all = [stepsFile, 'board', ...args];
  const child = spawn(python('guide'), all, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  let isSent = () => {};
  const sent = new Promise<void>((resolve) => {
    isSent = resolve;
  });
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk;
    if (said.stdout.includes('"sent"')) isSent();
  });
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk;
  });
  const ended = new Promise<Record<string, unknown>>((resolve, reject) => {
    child.on('close', (code) => {
      try {
        resolve(outcome('board', all, { ...said, code, seconds: 0 }));
      } catch (error) {
        reject(error);
      }
    });
  });
  ended.catch(() => {});
  return { sent: Promise.race([sent, ended.then(() => {})]), ended, stop: () => endProgram(child) };
}

export interface GuideServices {
  urls: { devices: string; models: string; datasets: string };
  /** PEM file of the self-signed certificate. */
  certificate: string;
  stop(): Promise<void>;
}

/** Starts the guide's three HTTP services, served by the guide's own library on three consecutive ports. */
export async function startGuideServices(): Promise<GuideServices> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-guide-services-'));
  const certificates = await makeCertificates();
  const port = await threePorts();
  const files = [certificates.path('ca.crt'), certificates.path('ca.key'), folder];
  const ports = [port, port + 1, port + 2];
  const child: ChildProcess = spawn(guideClients, ['serve', ...ports.map(String), ...files], {
    stdio: 'ignore',
  });
  for (const each of ports) await listening(each);
  const [devices = '', models = '', datasets = ''] = ports.map((each) => `https://127.0.0.1:${each}`);
  return {
    urls: { devices, models, datasets },
    certificate: certificates.path('ca.crt'),
    async stop() {
      await endProgram(child);
      await certificates.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const stepsFile = join(root, 'test/support/python/guide_steps.py');

function libraries(): string {
  const lib = join(python('guide'), '..', '..', 'lib');
  const [version = ''] = readdirSync(lib).filter((name) => name.startsWith('python3'));
  return join(lib, version, 'site-packages');
}

function outcome(program: string, args: string[], result: Awaited<ReturnType<typeof runProgram>>) {
  expect(result.code, told(program, args, result)).toBe(0);
  return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

/** Returns the first of three consecutive free ports. */
async function threePorts(): Promise<number> {
  for (;;) {
    const first = await freePort();
    const rest = await Promise.all([isFree(first + 1), isFree(first + 2)]);
    if (rest.every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
