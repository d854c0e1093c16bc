import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { onAbort, untilAborted } from '../../src/lib/core/tasks.js';

const reason = new Error('enough');
const never = new Promise<never>(() => {});

it('onAbort calls back once on abort, even if the signal was aborted before', async () => {
  const controller = new AbortController();
  const heard: string[] = [];
  onAbort(controller.signal, () => heard.push('before'));
  controller.abort();
  expect(heard).toEqual(['before']);
  onAbort(controller.signal, () => heard.push('after'));
  await delay(0);
  expect(heard).toEqual(['before', 'after']);
});

it('onAbort does not call back after unsubscribing, not even for an aborted signal', async () => {
  const controller = new AbortController();
  const heard: string[] = [];
  const leave = onAbort(controller.signal, () => heard.push('aborted'));
  leave();
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  controller.abort();
  onAbort(controller.signal, () => heard.push('too late'))();
  onAbort(undefined, () => heard.push('never'))();
  await delay(0);
  expect(heard).toEqual([]);
});

it('untilAborted waits until a signal is aborted, and leaves no listener on a long-lived signal', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  for (let i = 0; i < 100; i++) expect(await untilAborted(Promise.resolve(i), signal)).toBe(i);
  await expect(untilAborted(Promise.reject(new Error('its own')), signal)).rejects.toThrow('its own');
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  const waiting = untilAborted(never, signal);
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(untilAborted(never, signal)).rejects.toBe(reason);
  expect(await untilAborted(Promise.resolve('no signal'), undefined)).toBe('no signal');
});

it('tasks.ts is the only source with an abort listener, since others would miss earlier aborts', () => {
  const sources = join(import.meta.dirname, '../../src');
  const own = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .filter((path) => /addEventListener\(\s*'abort'/.test(readFileSync(join(sources, path), 'utf8')));
  expect(own).toEqual(['lib/core/tasks.ts']);
});
