import { request } from 'node:https';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseModelReference } from '../../src/lib/api/reference.js';
import { namePattern } from '../../src/lib/core/names.js';
import { listingSchema } from '../../src/lib/data/dataset/listing.js';
import { parseValues } from '../../src/lib/deploy/values.js';
import { readArchive, writeArchive } from '../../src/lib/formats/archive.js';
import { readZip, writeZip } from '../../src/lib/formats/zip.js';
import { isKnown } from '../../src/lib/platform/backup/format.js';
import { nameTemplate } from '../../src/lib/stream/file/template.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

/** Names that attempt to escape from the folder where they are placed. */
const climbing = [
  ...['..', '.', '../x', '../../etc/passwd', 'a/../../x', '/etc/passwd', 'a/..', './/../x', '.../../x'],
  ...['..\\x', 'C:\\x', '\\\\host\\x', 'a\0b', '..\0', '\u0000', '%2e%2e/x', '..%2fx', '~/x', '-rf', '.ssh'],
  ...['a\n../x', '\u202e../x', '．．/x', '..\u2215x'],
];

/** The code of the error, or undefined if `read` succeeds. */
function codeOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const entry = { label: null, device: null, rateHz: 1, startedAt: null, samples: 1, sha256: 'a'.repeat(64) };
const listing = (id: string) => ({ spec: 'aiot-dataset/1', fields: ['x'], recordings: [{ id, ...entry }] });

/** Inputs with names that become parts of a path. Each function returns whether it accepts the name. */
const doors: [door: string, lets: (name: string) => boolean][] = [
  ['the name of a device, model, context or recording', (name) => namePattern.test(name)],
  ['a recording in dataset.json', (name) => listingSchema.safeParse(listing(name)).success],
  ['a model’s version', (name) => codeOf(() => parseModelReference(`${name}@1`)) === undefined],
  [
    'an installation’s name in deploy.yaml',
    (name) => codeOf(() => parseValues(`name: ${JSON.stringify(name)}\n`, 'it')) === undefined,
  ],
  ['a table of a backup', (name) => isKnown(`tables/${name}`) || isKnown(`tables/${name}.ndjson`)],
  ['a key of a backup', (name) => isKnown(`pki/${name}`) || isKnown(`pki/${name}.sealed`)],
  ['a blob of a backup', (name) => isKnown(`blobs/sha256/${name}`) || isKnown(`blobs/${name}`)],
  ['an entry of a backup', (name) => isKnown(name) || isKnown(`journal/${name}`)],
  [
    'a member of a bundle',
    (name) => {
      try {
        const archive = writeArchive([{ name, data: Buffer.from('x') }]);
        return readArchive(archive, ['manifest.json']).some((member) => member.name === name);
      } catch {
        return false;
      }
    },
  ],
  [
    'an unrequested member of a ZIP archive',
    (name) => readZip(writeZip([{ name, data: Buffer.from('x') }], 0), ['weights']).has(name),
  ],
];

describe('a path traversal name', () => {
  it.each(doors)('is rejected as %s', (_, lets) => {
    expect(climbing.filter(lets)).toEqual([]);
  });

  it('is harmless in a file name built from a message', () => {
    const folder = '/srv/out';
    for (const text of climbing) {
      for (const template of ['{topic}', '{key}', 'a/{topic}/{key}', '{topic}.json']) {
        const message = { topic: text, key: Buffer.from(text), payload: Buffer.alloc(0) };
        const name = nameTemplate(template, 'it').render(message, 0);
        expect(name).not.toMatch(/[\0\n\\]/);
        expect(resolve(folder, `./${name}`).startsWith(`${folder}/`), JSON.stringify([text, name])).toBe(
          true,
        );
      }
    }
  });
});

describe('the platform', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
  });
  afterAll(() => own.stop());

  /** Sends the path verbatim; `request` does not normalize it. */
  const ask = (path: string) =>
    new Promise<[number, string]>((done, failed) => {
      const { hostname, port } = new URL(own.platform.urls.http);
      const headers = { authorization: `Bearer ${own.token}` };
      request({ hostname, port, path, ca: own.ca, headers }, (answer) => {
        let text = '';
        answer.on('data', (part: Buffer) => {
          text += part.toString('latin1');
        });
        answer.on('end', () => done([answer.statusCode ?? 0, text]));
      })
        .on('error', failed)
        .end();
    });

  const steps = [
    '..',
    '%2e%2e',
    '%2E%2E',
    '.%2e',
    '..%2f..',
    '..%5c..',
    '%2e%2e%2f%2e%2e',
    '%252e%252e',
    '..;',
  ];
  it.each([
    '/',
    '/assets/',
    '/api/v1/',
    '/api/v1/blobs/',
    '/api/v1/devices/',
    '/api/v1/models/a/versions/',
    '/errors/',
  ])('serves no file through a path traversal under %s', async (below) => {
    for (const step of steps)
      for (const file of ['state.db', 'pki/ca.key', 'package.json', 'etc/passwd', 'etc%2fpasswd%00']) {
        const path = `${below}${step}/${step}/${step}/${file}`;
        const [status, text] = await ask(path);
        expect([400, 401, 403, 404, 405], path).toContain(status);
        expect(text, path).not.toMatch(/SQLite format|PRIVATE KEY|"name": "aiot"|root:x:/);
      }
  });
});
