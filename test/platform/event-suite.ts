import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlatformEvent } from '../../src/lib/api/events/api.js';
import { eventTypes } from '../../src/lib/api/events/types.js';
import type { NewEvent } from '../../src/lib/platform/events/events.js';
import { checkSignature } from '../../src/lib/stream/http/headers.js';
import { freePort } from '../support/free-port.js';
import type { TestPlatform } from '../support/platform.js';
import { recordAndLabel } from '../support/recording.js';

/**
 * Tests for everything that is based on events: the feed, webhooks and jobs, regardless of the database that stores them.
 * @param start a function that starts a new platform for each test
 */
export function eventSuite(start: () => Promise<TestPlatform>): void {
  let own: TestPlatform;
  beforeEach(async () => {
    own = await start();
  });
  afterEach(() => own.stop());

  const label = (i: number) => recordAndLabel(own, { stream: 's', device: 'd', recording: `r${i}` });

  describe('GET /events', () => {
    it('returns events oldest first, by type and subject, with the position to continue from', async () => {
      for (let i = 0; i < 5; i++) await own.client.webhooks.add({ url: `https://h${i}.example/x` });
      const first = await own.client.events.page({ from: 0, types: ['webhook.*'], limit: 3 });
      expect(first.events.map(({ type }) => type)).toEqual(Array(3).fill('webhook.add'));
      expect(first.next).toBe(String(first.events[2]?.id));
      const rest = await own.client.events.page({ from: first.last, types: ['webhook.*'], limit: 3 });
      expect(rest.events).toHaveLength(2);
      expect(rest.next).toBeNull();
      const none = await own.client.events.page({ from: rest.last, types: ['rollout.*'] });
      expect(none).toMatchObject({ events: [], next: null, last: rest.last });
      const newest = await own.client.events.page({ newest: 1, types: ['webhook.add'] });
      expect(newest.events.map(({ id }) => id)).toEqual([rest.events[1]?.id]);
    });

    it('returns event data that matches the documented types', async () => {
      await own.client.webhooks.add({ url: 'https://h.example/x' });
      const { events } = await own.client.events.page({ from: 0, limit: 1000 });
      expect(events.length).toBeGreaterThan(1);
      for (const { type, data } of events) {
        expect(Object.keys(eventTypes)).toContain(type);
        eventTypes[type as keyof typeof eventTypes].data.parse(data);
      }
    });

    it('has every event type listed in the reference', async () => {
      const page = await readFile(new URL('../../docs/reference/event-types.md', import.meta.url), 'utf8');
      const [, table = ''] = /\| subject \| types \|([\s\S]*?)\n\n/.exec(page) ?? [];
      const told = new Set<string>();
      let noun = '';
      for (const [, word = ''] of table.matchAll(/`([a-z.-]+)`/g)) {
        if (word.endsWith('.')) noun = word;
        else told.add(word.includes('.') ? word : noun + word);
      }
      expect([...told].sort()).toEqual(Object.keys(eventTypes).sort());
      // @ts-expect-error a type that is not in the table does not compile
      const unknown: NewEvent['type'] = 'device.explode';
      expect(Object.keys(eventTypes)).not.toContain(unknown);
    });

    it('streams events, and resumes after Last-Event-ID without loss or duplicates', async () => {
      const ids: number[] = [];
      const read = async (from: string | undefined, count: number) => {
        const { dispatcher } = await dispatcherFor();
        const answer = await request(
          `${own.platform.urls.http}/api/v1/events?from=0&type=webhook.add&limit=${count}`,
          {
            dispatcher,
            headers: {
              authorization: `Bearer ${own.token}`,
              ...(from === undefined ? {} : { 'last-event-id': from }),
            },
          },
        );
        expect(answer.headers['content-type']).toBe('text/event-stream; charset=utf-8');
        const text = await answer.body.text();
        expect(text).toMatch(/^retry: 2000\nid: \d+\n\n/);
        for (const [, id] of text.matchAll(/^id: (\d+)\ndata: /gm)) ids.push(Number(id));
      };
      for (let i = 0; i < 4; i++) await own.client.webhooks.add({ url: `https://h${i}.example/x` });
      await read(undefined, 3);
      const live = read(String(ids[2]), 3);
      for (let i = 4; i < 6; i++) await own.client.webhooks.add({ url: `https://h${i}.example/x` });
      await live;
      expect(ids).toHaveLength(6);
      expect([...new Set(ids)].sort((a, b) => a - b)).toEqual(ids);
    });

    it('rejects a position that never existed, and invalid types', async () => {
      await expect(own.client.events.page({ from: 1e6 })).rejects.toMatchObject({ code: 'AIOT_EVENTS_GONE' });
      await expect(own.client.events.page({ types: ['Device'] })).rejects.toMatchObject({
        code: 'AIOT_REQUEST_INVALID',
      });
    });

    it('continues after a restart of the platform, with each event once', async () => {
      const earlier = await own.client.webhooks.add({ url: 'https://none.example/' });
      const got: PlatformEvent[] = [];
      let begun = false;
      const stop = new AbortController();
      const states: string[] = [];
      // Only such a port is still free after the platform has stopped.
      const httpPort = await freePort();
      await own.restart({ httpPort });
      const following = own.client;
      const done = (async () => {
        const events = following.events.follow({
          ...{ from: 'now', types: ['webhook.add', 'webhook.rotate'], signal: stop.signal },
          onState: (state) => states.push(state),
        });
        for await (const event of events) {
          if (event.type === 'webhook.rotate') begun = true;
          else got.push(event);
          if (got.length === 2) return;
        }
      })();
      // The client has begun to follow once it gets an event.
      const rotated = async () => {
        if (!begun) await own.client.webhooks.rotate(earlier.webhook.id);
        return begun;
      };
      await expect.poll(rotated, soon).toBe(true);
      await own.client.webhooks.add({ url: 'https://one.example/' });
      await expect.poll(() => got.length, soon).toBe(1);
      await own.platform.stop();
      await expect.poll(() => states).toEqual(['disconnected']);
      own.client = { ...own.client, close: async () => {} };
      await own.restart({ httpPort });
      await own.client.webhooks.add({ url: 'https://two.example/' });
      await done;
      await following.close();
      expect(got.map(({ subject }) => subject)).toHaveLength(2);
      expect(states).toEqual(['disconnected', 'connected']);
    }, 60_000);

    async function dispatcherFor() {
      const { Agent } = await import('undici');
      return { dispatcher: new Agent({ connect: { ca: own.ca } }) };
    }
  });

  describe('changes', () => {
    it('are recorded as events: labels and trust', async () => {
      await label(1);
      const { events } = await own.client.events.page({ from: 0, limit: 1000 });
      expect(events.map(({ type, subject }) => `${type} ${subject}`)).toEqual(
        expect.arrayContaining(['trust.set trust', 'data.label s/d/r1']),
      );
    });
  });

  interface Received {
    headers: IncomingHttpHeaders;
    body: Buffer;
    at: number;
  }

  /** Starts a webhook target that responds with `status`. */
  async function target() {
    const got: Received[] = [];
    const side = { status: 200, got, server: undefined as unknown as Server, url: '' };
    side.server = createServer(async (incoming, answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      got.push({ headers: incoming.headers, body: Buffer.concat(chunks), at: Date.now() });
      answer.writeHead(side.status).end('x'.repeat(100));
    }).listen(0, '127.0.0.1');
    await once(side.server, 'listening');
    side.url = `http://127.0.0.1:${(side.server.address() as AddressInfo).port}/hook`;
    return side;
  }

  /** A replica notices another replica's writes by notification or by polling, which takes a moment on a busy machine. */
  const soon = { timeout: 15_000 };

  describe('webhooks', () => {
    it('receive new events in order, once each and signed, across a restart', async () => {
      const side = await target();
      const { webhook, secret } = await own.client.webhooks.add({
        ...{ url: side.url, allowPrivate: true, types: ['data.label'] },
      });
      expect(secret).toMatch(/^whsec_/);
      for (let i = 0; i < 3; i++) await label(i);
      await expect.poll(() => side.got.length, soon).toBe(3);
      // The delivery of an event whose outcome is not stored yet would be repeated.
      const isStored = async (count: number) => {
        const { id } = JSON.parse(String(side.got[count - 1]?.body)) as { id: number };
        return (await own.client.webhooks.get(webhook.id)).position === id;
      };
      await expect.poll(() => isStored(3), soon).toBe(true);
      await own.restart();
      for (let i = 3; i < 5; i++) await label(i);
      await expect.poll(() => side.got.length, soon).toBe(5);
      await expect.poll(() => isStored(5), soon).toBe(true);
      await delay(200);
      const bodies = side.got.map(({ body }) => JSON.parse(body.toString()));
      expect(bodies.map(({ subject }) => subject)).toEqual([0, 1, 2, 3, 4].map((i) => `s/d/r${i}`));
      expect(bodies[0]).toMatchObject({ type: 'data.label', data: { label: 'walk' } });
      for (const { headers, body } of side.got) {
        const verdict = checkSignature(secret, (name) => headers[name] as string | undefined, body);
        expect(verdict).toEqual({ ok: true });
      }
      expect(new Set(side.got.map(({ headers }) => headers['webhook-id'])).size).toBe(5);
      const { position, behind, failures } = await own.client.webhooks.get(webhook.id);
      expect({ position, failures }).toEqual({ position: bodies[4].id, failures: 0 });
      expect(behind).toBe(0);
      side.server.close();
    }, 60_000);

    it('retry a failing target, retry immediately when re-enabled, and are disabled if it is gone', async () => {
      const side = await target();
      side.status = 503;
      const { webhook } = await own.client.webhooks.add({
        ...{ url: side.url, allowPrivate: true, types: ['data.label'] },
      });
      await label(1);
      await expect.poll(async () => (await own.client.webhooks.get(webhook.id)).failures, soon).toBe(1);
      const failing = await own.client.webhooks.get(webhook.id);
      expect(failing.error).toBe('it answered 503');
      expect((failing.retryAt ?? 0) - (failing.failingSince ?? 0)).toBeGreaterThan(2000);
      side.status = 200;
      await own.client.webhooks.change(webhook.id, { enabled: true });
      await expect.poll(() => side.got.length, soon).toBe(2);
      expect(side.got[1]?.headers['webhook-id']).toBe(side.got[0]?.headers['webhook-id']);
      side.status = 410;
      await label(2);
      await expect.poll(async () => (await own.client.webhooks.get(webhook.id)).enabled, soon).toBe(false);
      const { events } = await own.client.events.page({ from: 0, types: ['webhook.disable'] });
      expect(events[0]).toMatchObject({ subject: webhook.id, who: 'platform' });
      side.server.close();
    }, 60_000);

    it('sign with both the old and the new secret after a rotation', async () => {
      const side = await target();
      const { webhook, secret } = await own.client.webhooks.add({ url: side.url, allowPrivate: true });
      const rotated = await own.client.webhooks.rotate(webhook.id);
      side.got.length = 0;
      const tested = await own.client.webhooks.test(webhook.id);
      expect(tested).toMatchObject({ delivered: true, status: 200 });
      const [first] = side.got.filter(({ body }) => body.includes('webhook.test'));
      for (const one of [secret, rotated.secret]) {
        const header = (name: string) => first?.headers[name] as string | undefined;
        expect(checkSignature(one, header, first?.body ?? Buffer.alloc(0))).toEqual({ ok: true });
      }
      side.server.close();
    });

    it('reject internal and invalid targets', async () => {
      for (const url of [
        'http://example.com/',
        'https://127.0.0.1/',
        'https://[::1]/',
        'https://[::ffff:10.0.0.1]/',
        'https://169.254.169.254/latest/meta-data',
        'https://localhost:8443/api/v1/status',
        'https://2130706433/',
        'https://u:p@example.com/',
        'ftp://example.com/',
        'no',
      ]) {
        await expect(own.client.webhooks.add({ url }), url).rejects.toMatchObject({
          code: 'AIOT_WEBHOOK_TARGET',
        });
      }
    });
  });

  describe('jobs', () => {
    it('end with a result or an error, and are listed and recorded as events', async () => {
      const { id } = await own.client.jobs.create({ kind: 'blob.sweep' });
      const seen: string[] = [];
      const done = await own.client.jobs.wait(id, {
        onProgress: ({ state }) => seen.push(state),
        timeoutMs: 30_000,
      });
      expect(done).toMatchObject({
        state: 'done',
        kind: 'blob.sweep',
        result: { removed: 0, missing: [] },
        error: null,
      });
      const failed = await own.client.jobs.create({ kind: 'dataset.export', request: { stream: 'nothing' } });
      expect(await own.client.jobs.wait(failed.id, { timeoutMs: 30_000 })).toMatchObject({
        state: 'failed',
        error: { code: 'AIOT_NOT_FOUND' },
      });
      expect((await own.client.jobs.list()).map((job) => job.id)).toEqual([failed.id, id]);
      expect((await own.client.jobs.list({ state: 'done', limit: 1 })).map((job) => job.id)).toEqual([id]);
      const { events } = await own.client.events.page({ from: 0, subject: id });
      expect(events.map(({ type }) => type)).toEqual(['job.create', 'job.start', 'job.end']);
      await expect(own.client.jobs.cancel(id)).rejects.toMatchObject({ code: 'AIOT_JOB_ENDED' });
      await expect(own.client.jobs.create({ kind: 'make.coffee' })).rejects.toMatchObject({
        code: 'AIOT_REQUEST_INVALID',
      });
      await expect(own.client.jobs.get('job_none')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    }, 60_000);

    it('of external programs continue while renewed, and are lost otherwise', async () => {
      const { id, state } = await own.client.jobs.create({
        kind: 'external',
        request: { title: 'train', leaseMs: 60_000 },
      });
      expect(state).toBe('running');
      expect(await own.client.jobs.progress(id, { step: 'epoch 1', done: 1, total: 3 })).toMatchObject({
        ...{ step: 'epoch 1', done: 1, total: 3, cancelled: false },
      });
      expect((await own.client.jobs.cancel(id)).cancelled).toBe(true);
      expect((await own.client.jobs.progress(id, {})).cancelled).toBe(true);
      expect(await own.client.jobs.end(id, { state: 'cancelled' })).toMatchObject({ state: 'cancelled' });
      const lost = await own.client.jobs.create({ kind: 'external', request: { leaseMs: 1000 } });
      expect(await own.client.jobs.wait(lost.id, { timeoutMs: 30_000 })).toMatchObject({
        ...{ state: 'failed', error: { code: 'AIOT_JOB_LOST' } },
      });
      await expect(own.client.jobs.progress(lost.id, {})).rejects.toMatchObject({ code: 'AIOT_JOB_ENDED' });
    }, 60_000);
  });
}
