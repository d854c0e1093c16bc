import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

let own: TestPlatform;
const warnings: Error[] = [];
const note = (warning: Error) => void warnings.push(warning);

beforeEach(async () => {
  own = await testPlatform();
  process.on('warning', note);
});
afterEach(async () => {
  process.off('warning', note);
  await own.stop();
});

describe('a response whose stream fails before its first byte', () => {
  it('is an error, and leaks no listeners', async () => {
    const bytes = randomBytes(5 * 1024 ** 2);
    const digest = digestOf(bytes);
    await own.client.blobs.put(digest, bytes);
    const hex = digest.slice('sha256:'.length);
    const file = join(own.folder, 'data', 'blobs', 'sha256', hex.slice(0, 2), hex);
    await rm(file);
    // A folder can be opened but not read.
    await mkdir(file);
    const answer = await ask(own, `/api/v1/blobs/${digest}`);
    expect(answer.status).toBe(500);
    // Node emits warnings in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(warnings.map(({ message }) => message)).toEqual([]);
  });
});
