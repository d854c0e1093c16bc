import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type MotionServer, startMotionServer, startStage } from '../../support/motion-server.js';
import { describeReal } from '../../support/real.js';
import { type Redis, startRedis } from '../../support/redis.js';

describeReal('nats', 'the output service of the motion system', () => {
  describeReal('redis', 'with Redis over TLS and a mock Bot API', () => {
    let server: MotionServer;
    let client: NatsConnection;
    let redis: Redis;
    let telegram: Server;
    let told: { path: string; text: string; chat: string }[] = [];
    let refusing = 0;

    beforeAll(async () => {
      server = await startMotionServer('DNS:nats,IP:127.0.0.1');
      client = await server.client();
      const { path } = server.certificates;
      redis = await startRedis(
        [
          ...['--tls-cert-file', path('server.crt'), '--tls-key-file', path('server.key')],
          ...['--tls-ca-cert-file', path('ca.crt'), '--tls-auth-clients', 'no', '--requirepass', 'secret'],
        ],
        ['--tls', '--cacert', path('ca.crt'), '-a', 'secret', '--no-auth-warning'],
      );
      telegram = createServer((request, response) => {
        let body = '';
        request.on('data', (chunk) => {
          body += chunk;
        });
        request.on('end', () => {
          response.setHeader('content-type', 'application/json');
          if (refusing-- > 0) {
            response.statusCode = 500;
            return response.end('{"ok":false,"description":"busy"}');
          }
          const { text, chat_id: chat } = JSON.parse(body) as { text: string; chat_id: string };
          told.push({ path: request.url ?? '', text, chat });
          return response.end('{"ok":true,"result":{}}');
        });
      }).listen(0, '127.0.0.1');
      await once(telegram, 'listening');
    });
    afterAll(async () => {
      telegram?.close();
      await redis?.stop();
      await client?.close();
      await server?.stop();
    });
    beforeEach(async () => {
      await redis.cli('FLUSHALL');
      told = [];
      refusing = 0;
      const manager = await client.jetstreamManager();
      await manager.streams.delete('RPI').catch(() => {});
    });

    const begin = async (env: Record<string, string> = {}) => {
      const stage = startStage({
        stage: 'output',
        env: {
          ...server.env,
          REDIS_ADDRESS: `127.0.0.1:${redis.port}`,
          REDIS_PASSWORD: 'secret',
          TELEGRAM_KEY: '12345:abc',
          TELEGRAM_CHAT: '-100200',
          TELEGRAM_API: `http://127.0.0.1:${(telegram.address() as AddressInfo).port}`,
          ...env,
        },
        credentials: server.credentials,
      });
      await stage.told('ready');
      return stage;
    };
    const say = async (...labels: string[]) => {
      for (const label of labels) await client.jetstream().publish('predictions', label);
    };
    const kept = async () =>
      (await redis.cli('MGET', 'first_val', 'second_val', 'third_val', 'previous_prediction')).split('\n');
    const outputs = async () => {
      const manager = await client.jetstreamManager();
      const { state } = await manager.streams.info('RPI', { subjects_filter: '>' });
      const texts: string[] = [];
      for (let at = state.first_seq; at <= state.last_seq; at++) {
        const found = await manager.streams.getMessage('RPI', { seq: at }).catch(() => undefined);
        if (found?.subject === 'output') texts.push(Buffer.from(found.data).toString());
      }
      return { texts, waiting: state.subjects ?? {} };
    };
    const until = async (holds: () => boolean | Promise<boolean>) => {
      for (let tries = 0; !(await holds()); tries++) {
        if (tries > 1500) throw new Error('it did not come');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };

    it('stores the latest labels in Redis, publishes the winner, and reports each change to Telegram once', async () => {
      const stage = await begin();
      await say('walking', 'walking', 'walking', 'walking', 'resting', 'resting', 'resting');
      await stage.told('label', 7);
      await until(() => told.length === 2);
      expect(told).toEqual(
        ['walking', 'resting'].map((text) => ({ path: '/bot12345:abc/sendMessage', text, chat: '-100200' })),
      );
      // Redis is written to in the background, and the server handles acknowledgments later than requests.
      await expect.poll(kept).toEqual(['resting', 'resting', 'resting', 'resting']);
      // A tie of two and two is undecided, so nothing is published.
      await expect.poll(outputs).toEqual({
        texts: ['walking', 'walking', 'walking', 'walking', 'walking', 'resting'],
        waiting: { output: 6 },
      });
      expect(await stage.stop()).toMatchObject({ taken: 7, published: 6, refused: 0 });
    });

    it('resumes after a restart without reporting the same label again', async () => {
      const first = await begin();
      await say('walking', 'walking');
      await first.told('label', 2);
      await first.stop();
      expect(await kept()).toEqual(['walking', 'walking', '', 'walking']);
      const second = await begin();
      await say('resting', 'walking');
      await second.told('label', 2);
      await second.stop();
      expect(second.events.filter(({ kind }) => kind === 'label')).toMatchObject([
        { label: 'resting', voted: 'walking' },
        { label: 'walking', voted: 'walking' },
      ]);
      expect(told.map(({ text }) => text)).toEqual(['walking']);
    });

    it('takes over from the original service, whose placeholders are not labels', async () => {
      await redis.cli(
        'MSET',
        'first_val',
        'walking',
        'second_val',
        'placeholder',
        'previous_prediction',
        'placeholder',
      );
      const stage = await begin();
      await say('walking');
      await stage.told('label');
      await until(() => told.length === 1);
      await stage.stop();
      expect(await kept()).toEqual(['walking', 'walking', '', 'walking']);
    });

    it('keeps voting while Redis is down, and updates Redis when it is back', async () => {
      const stage = await begin();
      await say('walking');
      await stage.told('label');
      await redis.kill();
      await say('resting', 'resting');
      await stage.told('label', 3);
      const last = stage.events.findLast(({ kind }) => kind === 'label');
      expect(last).toMatchObject({ label: 'resting', voted: 'resting' });
      await stage.told('away');
      await redis.start();
      await stage.told('back');
      await until(async () => (await kept())[0] === 'resting');
      expect(await kept()).toEqual(['resting', 'resting', 'walking', 'resting']);
      await stage.stop();
    });

    it('sends Telegram the newest label when it accepts messages again', async () => {
      const stage = await begin();
      // More rejections than the sink retries on its own, so that it returns an error.
      refusing = 2;
      await say('walking', 'walking', 'walking');
      await stage.told('label', 3);
      await until(() => told.length > 0);
      expect(told.map(({ text }) => text)).toEqual(['walking']);
      await stage.stop();
    });

    it('rejects invalid labels, and continues', async () => {
      const stage = await begin();
      await say('', '{"label":"walking"}', 'x'.repeat(100), 'walking\n');
      await stage.told('label');
      expect(stage.events.filter(({ kind }) => kind === 'label')).toMatchObject([{ label: 'walking' }]);
      expect(await stage.stop()).toMatchObject({ taken: 4, published: 1, refused: 3 });
    });

    it('fails immediately if a password, a token, or a bot key is wrong', async () => {
      const codeOf = async (env: Record<string, string>) =>
        begin(env).then(
          (stage) => stage.ended,
          (error: { code: string }) => error.code,
        );
      await expect(begin({ REDIS_PASSWORD: 'wrong' })).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
      expect(await codeOf({ TELEGRAM_KEY: 'nonsense' })).toBe('AIOT_STREAM_URL');
      expect(await codeOf({ NATS_TOKEN: 'wrong' })).toBe('AIOT_BROKER_REFUSED');
    });
  });
});
