/** Hostile text in languages that templates.test.ts does not cover: Telegram, SQL, CI systems, Dockerfile. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { eventsAfter } from '../../src/lib/platform/events/events.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { openSink } from '../../src/lib/stream/open.js';
import { startHttp } from '../stream/outbound/servers.js';
import { root } from '../support/cli.js';
import { hostileLines as lines } from '../support/hostile-texts.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aiot-languages-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('Telegram', () => {
  const token = '123456:AA-bb_cc';
  /** Returns the requests that the Bot API receives for these messages. */
  async function told(query: string, messages: { topic: string; payload: Buffer }[]) {
    const server = await startHttp((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true,"result":{}}');
    });
    try {
      const sink = await openSink(`telegram:///-1?base=${server.url}${query}`, { token });
      await sink.write(messages);
      await sink.close();
      return server.heard.map(({ headers, body }) => ({ type: headers['content-type'] ?? '', body }));
    } finally {
      await server.stop();
    }
  }
  const png = Buffer.from('89504e470d0a1a0a00ff', 'hex');

  it('receives each text unchanged, without markup by default', async () => {
    const heard = await told(
      '',
      lines.map((text) => ({ topic: 'x', payload: Buffer.from(text) })),
    );
    expect(heard.map(({ body }) => JSON.parse(body.toString()))).toEqual(
      lines.map((text) => ({ chat_id: '-1', text })),
    );
  });

  it.each(['html', 'markdown'])('never interprets a topic or our own texts as %s', async (format) => {
    const messages = lines.map((topic) => ({ topic, payload: png }));
    const heard = await told(`&format=${format}`, [...messages, { topic: 'x', payload: Buffer.from(' ') }]);
    expect(JSON.parse(heard.pop()!.body.toString())).toEqual({ chat_id: '-1', text: '(empty)' });
    for (const [index, { type, body }] of heard.entries()) {
      const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData();
      expect([...form.keys()]).toEqual(['chat_id', 'caption', 'photo']);
      // In a multipart form, line endings are sent as CRLF.
      const caption = String(form.get('caption')).replaceAll('\r\n', '\n');
      expect(caption).toBe(lines[index]!.replaceAll('\r\n', '\n'));
    }
  });
});

describe('SQL', () => {
  it('treats every text as a value and never as a pattern', async () => {
    const store = await openStore(join(dir, 'state.db'));
    try {
      const all = [
        ...lines,
        '𝕏',
        '𝕏@1',
        'Type',
        'type',
        "x'; DROP TABLE events; --",
        '%',
        '_',
        'a%',
        '\\',
        'x" OR ""="',
      ];
      const row = (text: string) => ({ at: 1, type: text, subject: text, who: text, data: '{}' });
      for (const text of all) await store.insertInto('events').values(row(text)).execute();
      const found = async (filter: object) =>
        (await eventsAfter(store, { after: 0, limit: 1000, ...filter })).map(({ subject }) => subject);
      for (const text of all) {
        const versions = all.filter((each) => each === text || each.startsWith(`${text}@`));
        expect(await found({ subject: text })).toEqual(versions);
        if (!text.endsWith('*')) expect(await found({ types: [text] })).toEqual([text]);
        const begun = all.filter((each) => each.startsWith(text));
        expect(await found({ types: [`${text}*`] }), text).toEqual(begun);
      }
      expect(await found({})).toEqual(all);
    } finally {
      await store.destroy();
    }
  });
});

describe('a CI system', () => {
  interface Step {
    run?: string;
    env?: Record<string, string>;
  }
  const file = (path: string) => parse(readFileSync(join(root, 'templates/ci', path), 'utf8'));
  const scripts: [name: string, run: string, env: string[]][] = [
    ...readdirSync(join(root, 'templates/ci/github'), { recursive: true, encoding: 'utf8' })
      .filter((path) => /action\.yml$/.test(path))
      .flatMap((path) =>
        (file(join('github', path)).runs.steps as Step[]).map((step) => [path, step] as const),
      )
      .map(([path, { run = '', env = {} }]): [string, string, string[]] => [path, run, Object.keys(env)]),
    ...readdirSync(join(root, 'templates/ci/gitlab'), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.ya?ml$/.test(path))
      .flatMap((path) => file(join('gitlab', path)).aiot.before_script as string[])
      .map((run): [string, string, string[]] => ['gitlab', run, ['PACKAGE']]),
  ];

  it('interpolates nothing into shell lines', () => {
    expect(scripts.length).toBeGreaterThan(4);
    for (const [name, run] of scripts) expect(run, name).not.toMatch(/\$\{\{|\$\[\[|\beval\b|\$\(/);
  });

  it.each(scripts)('passes each input to programs as one word: %s: %s', (_, run, names) => {
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    for (const program of ['npm', 'aiot', 'mkdir'])
      writeFileSync(join(bin, program), '#!/bin/sh\nprintf "%s\\0" "$@"\n', { mode: 0o755 });
    const words = (text: string) => {
      const env = { PATH: `${bin}:/usr/bin:/bin`, ...Object.fromEntries(names.map((name) => [name, text])) };
      const empty = mkdtempSync(join(dir, 'empty-'));
      const said = execFileSync('sh', ['-c', run], { cwd: empty, encoding: 'utf8', env });
      expect(readdirSync(empty), text).toEqual([]);
      return said.split('\0').map((word) => word.replaceAll(text, 'INPUT'));
    };
    const usual = words('quite-usual');
    for (const text of lines) expect(words(text), text).toEqual(usual);
  });
});

describe('the Dockerfile', () => {
  it('uses build arguments only as image names', () => {
    const text = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ');
    const names = [...text.matchAll(/^ARG (\w+)/gm)].map(([, name]) => name);
    expect(names).toEqual(['BUILD', 'RUN']);
    const filled = text.split('\n').filter((line) => !line.startsWith('#') && line.includes('$'));
    expect(
      filled.filter((line) => !/^FROM (--platform=\$BUILDPLATFORM )?\$\{(BUILD|RUN)\}( AS \w+)?$/.test(line)),
    ).toEqual([]);
  });
});
