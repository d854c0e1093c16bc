import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { Exposition } from '../../src/lib/core/prometheus.js';
import { platformUnit } from '../../src/lib/core/systemd.js';
import { shellWord } from '../../src/lib/core/text.js';
import { secretsScript } from '../../src/lib/deploy/secrets.js';
import { fillTemplate } from '../../src/lib/deploy/template.js';
import { csvRecords } from '../../src/lib/formats/csv/records.js';
import { writeTable } from '../../src/lib/formats/csv/table.js';
import { html, htmlTable, reportPage } from '../../src/lib/formats/html.js';
import { factList } from '../../src/lib/formats/html-charts.js';
import { junitXml } from '../../src/lib/formats/junit.js';
import { parseNvsCsv, writeNvsCsv } from '../../src/lib/formats/nvs/csv.js';
import { devicesFor, loopUnit } from '../../src/lib/loop/operate/install.js';
import { loopMetrics } from '../../src/lib/loop/operate/server.js';
import { graphSvg } from '../../src/lib/pipeline/graph.js';
import { listingOf } from '../../src/lib/platform/compat/http.js';
import { csvExport } from '../../src/lib/platform/datasets/exports.js';
import { installPlatform } from '../../src/lib/platform/up/install.js';
import { csvLine } from '../../src/lib/stream/file/encode.js';
import { metricsText } from '../../src/lib/stream/route/watch.js';
import { runCli } from '../support/cli.js';
import { hostileLines as lines, hostileTexts as texts } from '../support/hostile-texts.js';
import { loopStatus } from '../support/loop-status.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aiot-templates-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The tags with the names of their attributes, except `class`. Hostile text must yield the same tags as harmless text. */
function tagsOf(document: string): string[] {
  const tags = document.match(/<[!/?]?[a-zA-Z](?:"[^"]*"|'[^']*'|[^'">])*>/g) ?? [];
  return tags.map((tag) => tag.replace(/ class="[^"]*"/, '').replaceAll(/"[^"]*"|'[^']*'/g, ''));
}

const state = (name: string) => ({
  ...{ name, received: 1, filtered: 0, duplicates: 0, skipped: 0, deadLettered: 0, retries: 0, pending: 0 },
  from: [],
  to: [{ endpoint: name, state: 'connected' as const, written: 1 }],
});
const step = (text: string) => ({
  ...{ name: text, about: text, needs: [], column: 0, row: 0, gate: text, when: false },
  last: { state: 'failed' as const, cached: false, seconds: 1, reason: text },
});

const documents: [door: string, write: (text: string) => string][] = [
  [
    'a report',
    (text) =>
      reportPage({
        ...{
          title: text,
          heading: text,
          lead: text,
          first: [html`<p title="${text}">${text}</p>`],
          aiot: text,
        },
        sections: [factList([[text, text]]), htmlTable([text], [[text]])],
      }),
  ],
  ['a folder listing of the guide', (text) => listingOf([{ name: text, folder: false }])],
  [
    'a JUnit report',
    (text) =>
      junitXml(
        text,
        [
          { className: text, name: text, failure: text },
          { className: text, name: text, skipped: text },
        ],
        1,
      ),
  ],
  ['a pipeline graph', (text) => graphSvg(text, [step(text)])],
];

describe('markup', () => {
  it.each(documents)('gains no tags or invalid characters from hostile text: %s', (_, write) => {
    const usual = tagsOf(write('x'));
    for (const text of lines) {
      const made = write(text);
      expect(tagsOf(made), text).toEqual(usual);
      if (!/^<(pre|!doctype)/.test(made)) expect(made, text).toMatch(/^[\t\n\r\u0020-\ud7ff\ue000-\ufffd]*$/);
      expect(made.match(/&(?!(lt|gt|amp|quot|#\d+);)/g), text).toBeNull();
    }
  });
});

describe('Prometheus text', () => {
  const line = /^(# (HELP|TYPE) .*|[a-z0-9_:]+(\{([a-z_]+="(\\[\\"n]|[^"\\\n])*",?)*\})? -?[\d.e+]+)?$/;
  const doors: [door: string, write: (text: string) => string][] = [
    ['routes', (text) => metricsText([state(text)] as never)],
    ['a loop', (text) => loopMetrics(loopStatus({ name: text }))],
    [
      'the platform',
      (text) => {
        const all = new Exposition();
        all.gauge('x', 'x', 1, { label: text });
        return all.text();
      },
    ],
  ];
  it.each(doors)('contains only lines of its grammar: %s', (_, write) => {
    for (const text of lines) {
      const made = write(text);
      expect(
        made.split('\n').filter((each) => !line.test(each)),
        text,
      ).toEqual([]);
      const said = /(?:route|loop|label)="((?:\\.|[^"\\])*)"/s.exec(made)?.[1];
      expect(said?.replaceAll(/\\(.)/g, (__, sign: string) => (sign === 'n' ? '\n' : sign))).toBe(text);
    }
  });
});

describe('YAML', () => {
  it('keeps each text unchanged as a value', () => {
    for (const text of lines) {
      const made = fillTemplate('a: <x>\nb: [say <x>]\nc: { "<x>": 1 }\n', { x: text });
      expect(parse(made), text).toEqual({ a: text, b: [`say ${text}`], c: { [text]: 1 } });
    }
  });

  it('is not rendered for Argo if paths or commands contain {{, which Argo would expand', async () => {
    const of = (more: object) => ({ ...{ run: ['node', '-e', '0'] }, ...more });
    const steps = [
      { in: { '{{workflow.name}}': 'aiot.yaml' } },
      { in: { x: '{{inputs.parameters.x}}.csv' } },
      { out: { x: '{{workflow.name}}' } },
      { run: ['echo', '{{=1+1}}'] },
    ];
    // A file that contains such text is written to the template's folder, under a key derived from its path.
    writeFileSync(join(dir, '{{inputs.parameters.x}}.csv'), '{{x}}');
    for (const more of steps) {
      const config = { name: 'own', pipeline: { steps: [{ name: 'one', ...of(more) }] } };
      writeFileSync(join(dir, 'aiot.yaml'), stringify(config));
      const argv = ['pipeline', 'render', '--target', 'argo', '--project', dir, '--out', join(dir, 'out')];
      const { code, stderr } = await runCli(argv);
      expect([code, stderr], JSON.stringify(more)).toEqual([
        2,
        expect.stringContaining('must not contain {{'),
      ]);
    }
  });
});

describe('a shell', () => {
  /**
   * Returns the words that a POSIX shell parses from the line. The shell runs in an empty folder, which must stay empty.
   */
  function wordsOf(line: string): string[] {
    const empty = join(dir, 'empty');
    mkdirSync(empty, { recursive: true });
    const said = execFileSync('sh', ['-c', `set -- ${line}\nprintf '%s\\0' "$@"`], {
      cwd: empty,
      encoding: 'utf8',
    });
    expect(readdirSync(empty), line).toEqual([]);
    return said.split('\0').slice(0, -1);
  }

  it('parses each text as one word', () => {
    // Backslashes are not quoted, because Windows uses them in paths.
    for (const text of lines.filter((each) => !/^[\w\\/.]+$/.test(each)))
      expect(wordsOf(`a ${shellWord(text)} b`), text).toEqual(['a', text, 'b']);
  });

  it('receives the folder as one word in a service’s install commands', async () => {
    for (const text of texts) {
      const up = { host: '127.0.0.1', httpPort: 1, mqttPort: 2 } as never;
      const unitDir = join(dir, text.replaceAll('/', '_'));
      const { start } = await installPlatform({ up, memory: '1G', unitDir, dryRun: true });
      expect(wordsOf(start[0]!), text).toContain(join(unitDir, 'aiot-platform.service'));
    }
  });

  it('creates secrets exactly as written in deploy.yaml', () => {
    for (const [index, text] of texts.entries()) {
      const own = join(dir, `${index}`);
      mkdirSync(own);
      writeFileSync(
        join(own, 'secrets.sh'),
        secretsScript([{ file: 'a.env', form: 'env', values: { A: { text } } }]),
      );
      execFileSync('sh', [join(own, 'secrets.sh')], { cwd: own, stdio: 'pipe' });
      expect(execFileSync('cat', ['secrets/a.env'], { cwd: own, encoding: 'utf8' })).toBe(`A=${text}\n`);
      expect(readdirSync(own).sort()).toEqual(['secrets', 'secrets.sh']);
    }
  });
});

describe('a systemd unit', () => {
  const keys = (unit: string) => unit.split('\n').map((line) => line.replace(/=.*/s, ''));
  const loop = (text: string) =>
    loopUnit({
      ...{
        name: 'own',
        command: ['/usr/bin/node', text],
        project: `/srv/${text}`,
        user: undefined,
        memory: '1G',
      },
      devices: devicesFor([`i2c://${encodeURIComponent(`/dev/${text}`)}/mpu6050`]),
      ...{
        reads: [`/home/${text}`],
        config: { folder: `/home/${text}`, files: ['a'] },
        secrets: `/etc/${text}`,
      },
      ...{ cpu: undefined, environment: { A: text } },
    });
  const platform = (text: string) =>
    platformUnit({
      ...{ service: 'aiot-platform', command: ['/usr/bin/node', text], user: 'aiot', data: `/srv/${text}` },
      ...{
        config: `/home/${text}`,
        reads: [`/home/${text}`],
        secrets: '/etc/x',
        memory: '1G',
        lowPorts: false,
      },
    });
  it.each([
    ['a loop', loop],
    ['the platform', platform],
  ])('contains no additional lines or specifiers from hostile text: %s', (_, write) => {
    const usual = keys(write('x'));
    for (const text of lines) {
      const unit = write(text);
      expect(keys(unit), text).toEqual(usual);
      if (/%[a-z(]/.test(text)) expect(unit).not.toMatch(/(?<!%)(%%)*%[nh(]/);
    }
  });
});

describe('CSV', () => {
  const cells = (text: string) => csvRecords(text, 'it').map((record) => record.cells);
  it('keeps each text in one cell unchanged, even a formula', async () => {
    for (const text of lines) {
      // Our own reader converts CRLF to LF.
      const read = text.replaceAll('\r\n', '\n');
      expect(cells(`h,i\n${csvLine([text, 1])}`)[1], text).toEqual([read, '1']);
      const samples = {
        device: 'd',
        recording: 'r',
        seq: 1,
        t: [1],
        label: [text],
        columns: new Map([['x', [2]]]),
      };
      let made = '';
      for await (const part of csvExport(['x'], [samples] as never)) made += part;
      expect(cells(made)[1], text).toEqual(['d', 'r', '1', '1', read, '2']);
      expect(cells(writeTable(['x'], [[1]], { label: [text] }))[1], text).toHaveLength(2);
    }
  });

  it('preserves NVS values', async () => {
    for (const value of lines.filter((text) => !text.includes('\r'))) {
      const entries = [{ namespace: 'n', key: 'k', type: 'string' as const, value }];
      const made = writeNvsCsv({ namespaces: ['n'], entries } as never);
      const read = await parseNvsCsv(made, () => Promise.reject(new Error('no file was named')));
      expect(read, value).toMatchObject([{ type: 'namespace' }, { key: 'k', value }]);
    }
  });
});
